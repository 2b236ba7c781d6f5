"""Numbers with their intervals and costs, and the rules for when to stop sampling."""
