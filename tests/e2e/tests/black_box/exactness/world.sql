CREATE SCHEMA app;
CREATE TABLE app.item (id int PRIMARY KEY, val bigint NOT NULL, note text);
CREATE SEQUENCE app.val;
-- The truth: what happened to each key, in the order of its row lock. What is rolled back is not in it.
CREATE TABLE app.history (seq bigserial PRIMARY KEY, op text NOT NULL, old int, new int, val bigint);
CREATE FUNCTION app.remember() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP = 'INSERT' THEN
        INSERT INTO app.history (op, new, val) VALUES ('insert', NEW.id, NEW.val);
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO app.history (op, old) VALUES ('delete', OLD.id);
    ELSE
        INSERT INTO app.history (op, old, new, val) VALUES ('update', OLD.id, NEW.id, NEW.val);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER remember AFTER INSERT OR UPDATE OR DELETE ON app.item FOR EACH ROW EXECUTE FUNCTION app.remember();
-- Random transactions: several statements each, savepoints that are undone, key changes, roll-backs.
CREATE PROCEDURE app.work(rounds int) LANGUAGE plpgsql AS $$
DECLARE
    k int;
    r float;
BEGIN
    FOR i IN 1..rounds LOOP
        FOR j IN 1..1 + (random() * 4)::int LOOP
            k := (random() * 300)::int;
            r := random();
            BEGIN
                IF r < 0.35 THEN
                    INSERT INTO app.item VALUES (k, nextval('app.val'), repeat('x', (random() * 30)::int))
                        ON CONFLICT (id) DO UPDATE SET val = excluded.val;
                ELSIF r < 0.65 THEN
                    UPDATE app.item SET val = nextval('app.val') WHERE id BETWEEN k AND k + 3;
                ELSIF r < 0.80 THEN
                    DELETE FROM app.item WHERE id = k;
                ELSIF r < 0.90 THEN
                    UPDATE app.item SET id = id + 500, val = nextval('app.val') WHERE id = k;
                ELSE
                    INSERT INTO app.item VALUES (1000 + k, nextval('app.val'), NULL);
                    UPDATE app.item SET val = nextval('app.val') WHERE id = k;
                    RAISE EXCEPTION 'undone';
                END IF;
            EXCEPTION WHEN unique_violation OR deadlock_detected OR raise_exception THEN NULL;
            END;
        END LOOP;
        IF random() < 0.15 THEN ROLLBACK; ELSE COMMIT; END IF;
    END LOOP;
END $$;
