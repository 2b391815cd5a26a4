-- What only the installation's own secret gives, so that a wrong secret is noticed at the start.
ALTER TABLE installation ADD COLUMN secret_check BLOB;
