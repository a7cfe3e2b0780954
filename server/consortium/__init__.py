"""The coordinator as hospitals meet it: certificates, enrolment, a guarded SuperLink, and the operator's commands."""
