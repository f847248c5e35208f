-- What is there on the first day. psql -U shop -d orders -f seed.sql
INSERT INTO customers (customer_no, name, country)
SELECT number, 'Customer ' || number, (ARRAY['ES', 'FR', 'DE', 'PT'])[1 + number % 4]
FROM generate_series(1, 50) AS number;

INSERT INTO blocked_customers VALUES (13, 'three chargebacks'), (37, 'address does not exist');

INSERT INTO orders (order_no, customer_no, total, status)
SELECT number, 1 + number % 50, 10 * number, 'S'
FROM generate_series(1, 20) AS number;

INSERT INTO order_lines
SELECT order_no, 1, 'A-' || order_no, 1, total FROM orders;
