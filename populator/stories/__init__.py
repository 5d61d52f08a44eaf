"""What the program does, told step by step, without a vendor, a protocol or a wire format."""
