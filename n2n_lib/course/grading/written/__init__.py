"""What instructors write and get: tables, pages, rosters, corrections, files for gradebooks."""
