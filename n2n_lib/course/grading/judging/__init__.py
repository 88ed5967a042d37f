"""Judge answers: what is run, behind which fence, and what is made of what comes back."""
