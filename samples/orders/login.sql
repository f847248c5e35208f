-- Who there is, before anything of ours: the application, and the login that Vestibule works with.
-- REPLICATION is for `capture: log` alone.
CREATE ROLE shop LOGIN;
CREATE ROLE scoring LOGIN REPLICATION;
CREATE DATABASE orders OWNER shop;
