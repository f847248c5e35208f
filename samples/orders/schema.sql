-- The order desk of a shop as it was built in 2009. Nobody can change the application that writes here.
-- psql -U shop -d orders -f schema.sql
CREATE TABLE customers (
    customer_no  integer      PRIMARY KEY,
    name         varchar(80)  NOT NULL,
    country      char(2)      NOT NULL DEFAULT 'ES',
    since        date         NOT NULL DEFAULT current_date
);

CREATE TABLE blocked_customers (
    customer_no  integer      PRIMARY KEY REFERENCES customers,
    reason       varchar(200)
);

CREATE TABLE orders (
    order_no     bigint        PRIMARY KEY,
    customer_no  integer       NOT NULL REFERENCES customers,
    placed_at    timestamp     NOT NULL DEFAULT localtimestamp,
    total        numeric(12,2) NOT NULL,
    currency     char(3)       NOT NULL DEFAULT 'EUR',
    status       char(1)       NOT NULL DEFAULT 'N',      -- N new, P paid, S shipped, X cancelled
    note         text,
    rev          integer       NOT NULL DEFAULT 1,        -- the application counts its own changes here
    -- Added for the desk's own eyes years ago, and empty ever since.
    risk_score   smallint,
    risk_note    varchar(200),
    risk_state   char(2)                                  -- OK, PD a person decides, RJ
);

CREATE TABLE order_lines (
    order_no     bigint        NOT NULL REFERENCES orders ON DELETE CASCADE,
    line_no      smallint      NOT NULL,
    article      varchar(40)   NOT NULL,
    quantity     integer       NOT NULL,
    price        numeric(10,2) NOT NULL,
    PRIMARY KEY (order_no, line_no)
);

CREATE TABLE payments (
    pay_no       bigint        PRIMARY KEY,
    order_no     bigint        NOT NULL,
    method       varchar(8)    NOT NULL,                  -- CARD, SEPA, CASH
    amount       numeric(12,2) NOT NULL,
    country      char(2)       NOT NULL,
    rev          integer       NOT NULL DEFAULT 1,
    risk_score   smallint,
    risk_note    varchar(200)
);

CREATE SEQUENCE order_numbers START 1000;
CREATE SEQUENCE payment_numbers START 1000;

-- What a mapping looks up (docs/lookups.md), and nothing else of this table.
GRANT SELECT (customer_no) ON blocked_customers TO scoring;
