-- Where sources are, in their own words.
CREATE TABLE {s}.positions (name text COLLATE "C" PRIMARY KEY, kept text NOT NULL, changed timestamptz NOT NULL);
