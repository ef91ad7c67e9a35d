"""The recording: its schema, its reader and its writer. Needs neither root nor bcc nor Linux."""
