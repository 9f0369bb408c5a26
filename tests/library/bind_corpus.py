"""Statements as programs have them, for comparing their binds with those of SQLAlchemy's text()."""

from __future__ import annotations

EVERYWHERE = """
SELECT 1
SELECT :a
SELECT :a, :b, :a
SELECT * FROM users
SELECT * FROM users WHERE id = :id
SELECT * FROM users WHERE id=:id AND name=:name
SELECT * FROM users WHERE id IN (:a, :b, :c)
SELECT * FROM users WHERE id IN (:a,:b,:c)
SELECT * FROM users WHERE (id = :id OR :id IS NULL)
SELECT * FROM users WHERE name LIKE :pattern ESCAPE '!'
SELECT * FROM users WHERE name LIKE '%' || :part || '%'
SELECT * FROM users WHERE name LIKE concat('%', :part, '%')
SELECT * FROM users WHERE created BETWEEN :from AND :to
SELECT * FROM users WHERE id > :after ORDER BY id LIMIT :limit
SELECT * FROM users ORDER BY name LIMIT :limit OFFSET :offset
SELECT * FROM users WHERE name = :user_name AND id <> :user_id2
SELECT * FROM users WHERE id = -:id
SELECT * FROM users WHERE id = +:id
SELECT * FROM users WHERE id =(:id)
SELECT :a+:b, :a-:b, :a*:b, :a/:b
SELECT :a||:b
SELECT :a<:b, :a>:b, :a<=:b, :a>=:b, :a<>:b, :a!=:b, :a=:b
SELECT (:a),(:b)
SELECT count(*) FROM users WHERE active = :active
SELECT coalesce(:a, :b, 'none')
SELECT CASE WHEN :flag = 1 THEN :yes ELSE :no END
SELECT CASE id WHEN :a THEN 'a' WHEN :b THEN 'b' END FROM users
SELECT cast(:number AS INTEGER)
SELECT CAST(:text AS VARCHAR(20))
SELECT nullif(:a, '')
SELECT upper(:name), lower(:name), length(:name)
SELECT a.id, b.name FROM a JOIN b ON a.id = b.id AND b.kind = :kind WHERE a.id = :id
SELECT a.id FROM a LEFT JOIN b ON b.a = a.id AND b.day >= :day WHERE b.id IS NULL
SELECT * FROM (SELECT :x AS x UNION ALL SELECT :y) AS s WHERE x > :z
SELECT id FROM a WHERE x = :x UNION SELECT id FROM b WHERE y = :y
SELECT id FROM a EXCEPT SELECT id FROM b WHERE y = :y
SELECT kind, count(*) FROM a GROUP BY kind HAVING count(*) > :least
SELECT EXISTS (SELECT 1 FROM users WHERE name = :name)
SELECT * FROM users WHERE NOT EXISTS (SELECT 1 FROM b WHERE b.id = users.id AND b.x = :x)
SELECT * FROM users WHERE (id, name) IN ((:id1, :name1), (:id2, :name2))
WITH new AS (SELECT :a AS a) SELECT * FROM new
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last) SELECT i FROM n
WITH a AS (SELECT 1), b AS (SELECT :x) SELECT * FROM a, b
INSERT INTO users (name) VALUES (:name)
INSERT INTO users(id,name) VALUES(:id,:name)
INSERT INTO users (id, name, mail) VALUES (:id, :name, :mail), (:id2, :name2, :mail2)
INSERT INTO users (name) SELECT :name WHERE NOT EXISTS (SELECT 1 FROM users WHERE name = :name)
INSERT INTO log (at, what) VALUES (CURRENT_TIMESTAMP, :what)
UPDATE users SET name = :name WHERE id = :id
UPDATE users SET count = count + :more, at = :at WHERE id = :id
UPDATE users SET name=:name,mail=:mail WHERE id=:id
UPDATE users SET a = CASE WHEN id = :id THEN :x ELSE a END
DELETE FROM users WHERE id = :id
DELETE FROM users WHERE id IN (SELECT id FROM old WHERE day < :day)
CREATE TABLE users (id INTEGER PRIMARY KEY, name VARCHAR(100))
DROP TABLE users
SELECT sum(x) OVER (PARTITION BY kind ORDER BY day ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM a
SELECT rank() OVER (ORDER BY x) FROM a WHERE kind = :kind
SELECT a FROM t WHERE b = :b -- and no more
SELECT a /* the first */ FROM t WHERE b = :b
SELECT 'it''s', :x
SELECT 'a "quoted" word', :x
SELECT '', :x
SELECT "users"."name" FROM "users" WHERE "users"."id" = :users_id
SELECT :größe, :名前
SELECT :_a, :A, :a1, :a_b, :a__b
  SELECT :a
SELECT :a;
SELECT : a
SELECT a : b
SELECT a: b
SELECT x:y
SELECT \\:x
SELECT \\:x, :y
SELECT a\\:\\:integer, :y
SELECT '\\:x'
SELECT 'a\\:b', :y
SELECT 1.5, 1e5, .5, 0x1F, :x
SELECT :x AS "x"
SELECT ?
SELECT 50 % :x
SELECT a.b.c FROM a.b WHERE c = :c
""".strip("\n").split("\n")
EVERYWHERE.append("SELECT :a\n FROM t\r\n WHERE b = :b\t AND c = :c\n")
"""What all of them understand, or nobody."""

POSTGRESQL = """
SELECT '5'::int
SELECT now()::date
SELECT a::text, b::int FROM t
SELECT a::numeric(10, 2) FROM t WHERE b = :b
SELECT (a->>'x')::int FROM t WHERE id = :id
SELECT data->'a'->>'b' FROM t WHERE id = :id
SELECT data #>> '{a,b}' FROM t WHERE id = :id
SELECT data @> cast(:part AS jsonb) FROM t
SELECT data ? :key FROM t
SELECT data ?| array[:a, :b] FROM t
SELECT data - :key FROM t
SELECT ARRAY[:a, :b, :c]
SELECT (ARRAY[1, 2, 3])[:i]
SELECT a[1:2] FROM t
SELECT a[1 : 2] FROM t
SELECT a[1][2] FROM t WHERE id = :id
SELECT * FROM users WHERE id = ANY(:ids)
SELECT * FROM users WHERE name ~* :pattern
SELECT * FROM users WHERE name ILIKE :pattern
SELECT * FROM users WHERE tsv @@ to_tsquery('english', :words)
SELECT * FROM users WHERE at > now() - interval '1 day' AND id = :id
SELECT * FROM users WHERE at > now() - cast(:age AS interval)
SELECT * FROM users FOR UPDATE SKIP LOCKED LIMIT :n
SELECT DISTINCT ON (kind) kind, id FROM t WHERE day = :day ORDER BY kind, id
SELECT * FROM generate_series(:a, :b) AS i
SELECT * FROM t, LATERAL (SELECT * FROM u WHERE u.t = t.id LIMIT :n) AS l
SELECT jsonb_build_object('a', :a, 'b', :b)
SELECT f(a => :a, b => :b)
SELECT f(a := :a)
SELECT extract(epoch FROM at) FROM t WHERE id = :id
SELECT at AT TIME ZONE :zone FROM t
SELECT count(*) FILTER (WHERE kind = :kind) FROM t
SELECT string_agg(name, ', ' ORDER BY name) FROM t WHERE kind = :kind
SELECT percentile_cont(:p) WITHIN GROUP (ORDER BY x) FROM t
INSERT INTO users (name) VALUES (:name) RETURNING id
INSERT INTO users (id, name) VALUES (:id, :name) ON CONFLICT (id) DO UPDATE SET name = excluded.name
INSERT INTO users (name) VALUES (:name) ON CONFLICT DO NOTHING
INSERT INTO t (tags) VALUES (cast(:tags AS text[]))
UPDATE users SET name = :name FROM old WHERE old.id = users.id RETURNING users.*
UPDATE t SET data = jsonb_set(data, '{a}', cast(:value AS jsonb)) WHERE id = :id
DELETE FROM users USING old WHERE old.id = users.id AND old.day < :day
MERGE INTO t USING s ON t.id = s.id WHEN MATCHED THEN UPDATE SET x = :x
SELECT $$plain$$, :x
SELECT E'a\\\\b', :x
SELECT U&'d\\0061t', :x
SELECT $1
SELECT set_config('app.user', :user, true)
CREATE INDEX CONCURRENTLY i ON t (lower(name)) WHERE active
TRUNCATE t RESTART IDENTITY CASCADE
SELECT 10 % 3, :x
SELECT * FROM "Mixed Case" WHERE "Id" = :id
SELECT :a::int
SELECT :a::int, :b
SELECT * FROM t WHERE day = :day::date AND x = ANY(:xs::int[])
SELECT ':a'
SELECT '12:30:59', :x
SELECT to_char(at, 'HH24:MI:SS') FROM t WHERE id = :id
SELECT '{"a":1, "b":"c"}'::jsonb, :x
SELECT E'it\\'s :a', :x
SELECT $$ it's :a $$, :x
SELECT $body$ x := :a; $body$, :x
SELECT ":a", :x
SELECT :x -- not :a
SELECT :x /* not :a, nor :b */, :y
""".strip("\n").split("\n")

MYSQL = """
SELECT `users`.`name` FROM `users` WHERE `users`.`id` = :id
SELECT * FROM users WHERE id = :id LOCK IN SHARE MODE
SELECT * FROM users LIMIT :offset, :count
SELECT SQL_CALC_FOUND_ROWS * FROM users WHERE kind = :kind
SELECT ifnull(:a, :b)
SELECT if(:a > 1, :b, :c)
SELECT group_concat(name ORDER BY name SEPARATOR ', ') FROM users WHERE kind = :kind
SELECT data->'$.a' FROM t WHERE id = :id
SELECT data->>'$.a.b[0]' FROM t WHERE id = :id
SELECT json_extract(data, :path) FROM t
SELECT json_contains(data, json_quote(:value), '$.tags') FROM t
SELECT date_format(at, '%Y-%m-%d') FROM t WHERE id = :id
SELECT date_sub(now(), INTERVAL :days DAY)
SELECT * FROM t WHERE at > now() - INTERVAL :n HOUR
SELECT * FROM t WHERE name REGEXP :pattern
SELECT * FROM t WHERE MATCH (body) AGAINST (:words IN BOOLEAN MODE)
SELECT * FROM t WHERE name COLLATE utf8mb4_bin = :name
SELECT convert(:x USING utf8mb4)
SELECT x'4142', b'01', _utf8mb4'a', :x
SELECT @a, @@version, :x
SELECT @a := 1, :x
SET @a = :x
INSERT IGNORE INTO users (name) VALUES (:name)
INSERT INTO users (id, name) VALUES (:id, :name) ON DUPLICATE KEY UPDATE name = VALUES(name)
INSERT INTO users (id, name) VALUES (:id, :name) ON DUPLICATE KEY UPDATE name = :name
INSERT INTO users SET name = :name, mail = :mail
REPLACE INTO users (id, name) VALUES (:id, :name)
UPDATE a JOIN b ON a.id = b.id SET a.x = :x WHERE b.y = :y
UPDATE users SET name = :name WHERE id = :id ORDER BY id LIMIT 1
DELETE a FROM a JOIN b ON a.id = b.id WHERE b.y = :y
SELECT 'it\\'s', :x
SELECT "a string", :x
SELECT 'a\\\\', :x
SELECT a <=> :a FROM t
SELECT a DIV :b, a MOD :c FROM t
SELECT !:a, ~:a, :a & :b, :a | :b, :a ^ :b, :a << 1
SELECT /*+ MAX_EXECUTION_TIME(1000) */ :x
SELECT /*! STRAIGHT_JOIN */ :x
SELECT sleep(:seconds)
CALL procedure_of_ours(:a, :b)
SHOW TABLES LIKE 'a%'
SELECT :x # a comment
SELECT ':a'
SELECT "12:30", :x
SELECT ":a", :x
SELECT 'it\\'s :a', :x
SELECT `:a`, :x
SELECT :x # not :a
SELECT :x -- not :a
SELECT /*! :a */ :x
SELECT time_format(at, '%H:%i:%s') FROM t WHERE id = :id
SELECT str_to_date(:text, '%d.%m.%Y %H:%i')
""".strip("\n").split("\n")

SQLITE = """
SELECT [users].[name] FROM [users] WHERE [users].[id] = :id
SELECT `users`.`name` FROM `users` WHERE id = :id
SELECT name FROM users WHERE name GLOB :pattern
SELECT name FROM users WHERE name = :name COLLATE NOCASE
SELECT strftime('%s', :at)
SELECT strftime('%Y', at) FROM t WHERE id = :id
SELECT date('now', :modifier)
SELECT json_extract(data, '$.a') FROM t WHERE id = :id
SELECT data ->> '$.a' FROM t WHERE id = :id
SELECT data -> :path FROM t
SELECT * FROM json_each(:list)
SELECT ifnull(:a, :b), iif(:a, :b, :c)
SELECT printf('%d: %s', :a, :b)
SELECT rowid, * FROM users WHERE rowid = :id
SELECT last_insert_rowid(), changes()
SELECT x'4142', :x
SELECT * FROM users WHERE rowid IN (SELECT value FROM json_each(:ids))
INSERT OR IGNORE INTO users (name) VALUES (:name)
INSERT OR REPLACE INTO users (id, name) VALUES (:id, :name)
INSERT INTO users (id, name) VALUES (:id, :name) ON CONFLICT (id) DO UPDATE SET name = excluded.name
INSERT INTO users (name) VALUES (:name) RETURNING id
INSERT INTO users DEFAULT VALUES
UPDATE users SET name = :name FROM old WHERE old.id = users.id
DELETE FROM users WHERE id = :id RETURNING *
SELECT * FROM docs WHERE docs MATCH :words
PRAGMA user_version
ATTACH :path AS other
CREATE VIRTUAL TABLE docs USING fts5(body)
VALUES (:a, :b), (:c, :d)
EXPLAIN QUERY PLAN SELECT * FROM users WHERE id = :id
SELECT ':a'
SELECT strftime('%H:%M:%S', at) FROM t WHERE id = :id
SELECT time('12:30:59'), :x
SELECT 'it''s :a', :x
SELECT ":a", :x
SELECT `:a`, :x
SELECT [:a], :x
SELECT [a:b], :x
SELECT :x -- not :a
SELECT :x /* not :a */
SELECT :x /* it's */ , :y /* it's */
""".strip("\n").split("\n")

OTHERWISE = {
    # text() looks into strings: what stands there is never a value.
    "SELECT ':a'": [],
    "SELECT 'it''s :a', :x": ["x"],
    """SELECT '{"a":1, "b":"c"}'::jsonb, :x""": ["x"],
    r"SELECT 'it\'s :a', :x": ["x"],
    r"SELECT E'it\'s :a', :x": ["x"],
    "SELECT $$ it's :a $$, :x": ["x"],
    "SELECT $body$ x := :a; $body$, :x": ["x"],
    # The same for names in quotes.
    'SELECT ":a", :x': ["x"],
    "SELECT `:a`, :x": ["x"],
    "SELECT [:a], :x": ["x"],
    # And for comments: a value there could end them.
    "SELECT :x -- not :a": ["x"],
    "SELECT :x # not :a": ["x"],
    "SELECT :x /* not :a */": ["x"],
    "SELECT :x /* not :a, nor :b */, :y": ["x", "y"],
    "SELECT /*! :a */ :x": ["x"],
    # To text() a bind with a cast behind it is none; asyncpg's users write it that way.
    "SELECT :a::int": ["a"],
    "SELECT :a::int, :b": ["a", "b"],
    "SELECT * FROM t WHERE day = :day::date AND x = ANY(:xs::int[])": ["day", "xs"],
}
"""Statements that text() reads in another way, and their binds as they are meant."""
