"""Training: a user's adapter, and the experts of famulus-16e. Needs torch, tokenizers and safetensors only."""
