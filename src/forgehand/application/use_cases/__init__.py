"""What a job type does: one file each."""
