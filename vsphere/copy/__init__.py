"""One copy: started once, followed to its end, tidied up."""
