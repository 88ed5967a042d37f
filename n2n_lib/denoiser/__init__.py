"""What the framework is good for: photographs, noise, networks, training, measuring."""
