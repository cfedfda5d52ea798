"""`forgehand demo`: a sample repository, and a job for it through server, queue and worker."""
