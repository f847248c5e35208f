#!/bin/sh
# The application, as far as the database sees it: orders and payments come, change, ship and go.
#   sh writer.sh [SECONDS]          where to: PGHOST, PGPORT, PGUSER (shop), PGDATABASE (orders)
set -eu
seconds=${1:-10}
: "${PGUSER:=shop}" "${PGDATABASE:=orders}"
export PGUSER PGDATABASE
end=$(($(date +%s) + seconds))

# One connection for all: a block of statements a time, each its own transaction.
block() {
    cat <<'SQL'
BEGIN;
WITH placed AS (
    INSERT INTO orders (order_no, customer_no, total, note)
    SELECT nextval('order_numbers'), 1 + floor(random() * 50)::int, round((5 + random() ^ 4 * 20000)::numeric, 2),
           CASE WHEN random() < 0.1 THEN 'deliver today, ring twice' END
    FROM generate_series(1, 3)
    RETURNING order_no, total
)
INSERT INTO order_lines SELECT order_no, 1, 'A-' || order_no % 97, 1, total FROM placed;
COMMIT;
INSERT INTO payments (pay_no, order_no, method, amount, country)
SELECT nextval('payment_numbers'), order_no, (ARRAY['CARD', 'SEPA', 'CASH'])[1 + floor(random() * 3)::int], total,
       (ARRAY['ES', 'FR', 'NG', 'US'])[1 + floor(random() * 4)::int]
FROM orders WHERE status = 'N' ORDER BY random() LIMIT 2;
UPDATE orders SET status = 'S', rev = rev + 1
WHERE order_no IN (SELECT order_no FROM orders WHERE status = 'N' AND risk_state = 'OK' ORDER BY random() LIMIT 1);
UPDATE orders SET total = total + 1, rev = rev + 1
WHERE order_no IN (SELECT order_no FROM orders WHERE status = 'N' ORDER BY random() LIMIT 1);
DELETE FROM orders WHERE order_no IN (SELECT order_no FROM orders WHERE status = 'S' ORDER BY random() LIMIT 1);
BEGIN;
UPDATE orders SET total = 0, rev = rev + 1;
ROLLBACK;
SQL
}

while [ "$(date +%s)" -lt "$end" ]; do
    block
    sleep 0.1
done | psql -X -q -v ON_ERROR_STOP=1 -o /dev/null
