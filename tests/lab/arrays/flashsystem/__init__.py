"""IBM Storage Virtualize as its REST API shows it: `system` (state, rules), `flashcopy` (the same of
copies), `sessions`, `commands` and `copy_commands`, `server`, `lab`.
"""
