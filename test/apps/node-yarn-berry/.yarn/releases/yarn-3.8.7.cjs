// Stands in for the Yarn that a repository brings along.
