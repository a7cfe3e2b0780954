"""Figures of merit: Fréchet distance, PSNR and SSIM, and a frozen referee that says what a generated image means."""
