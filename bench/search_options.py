"""Ways to search a million products, each by its bare statement; the figures behind decision 0010.

`python -m bench.search_options` prints the median time of each way for each word, in ms.
"""

import asyncio
import statistics
import sys
import time
from typing import TYPE_CHECKING

from bench.house import open_house
from bench.measure import say

if TYPE_CHECKING:
    import asyncpg

PRODUCTS = 1_000_000
RUNS = 7
PATIENCE_S = 20

WORDS = {
    "common": "steel",
    "middling": "kettle",
    "rare": "zirconium",
    "misspelt": "keybaord",
    "none": "xylophone",
    "two": "steel zirconium",
}

_MAKE = """
CREATE TABLE options (id bigint PRIMARY KEY, workspace_id uuid NOT NULL, search text NOT NULL,
  document tsvector GENERATED ALWAYS AS (to_tsvector('simple', search)) STORED);
INSERT INTO options (id, workspace_id, search)
SELECT n, '00000000-0000-0000-0000-000000000001',
  ' ' || (CASE WHEN n % 5 < 2 THEN 'steel' WHEN n % 5 < 4 THEN 'wooden' ELSE 'ceramic' END) || ' '
  || (ARRAY['keyboard', 'kettle', 'lamp', 'chair', 'table', 'monitor', 'speaker', 'bottle', 'backpack',
            'umbrella', 'notebook', 'charger', 'blender', 'toaster', 'scissors', 'hammer', 'bicycle',
            'helmet', 'mirror', 'curtain'])[1 + (n / 5) % 20] || ' '
  || substr(md5((n % 20000)::text), 1, 7) || ' '
  || (CASE WHEN n % 100000 = 0 THEN 'zirconium ' ELSE '' END) || 'sku-' || n
FROM generate_series(1, $1::int) n
"""
_INDEXES = (
    "CREATE INDEX ON options (workspace_id, id)",
    "CREATE INDEX options_trigrams ON options USING gin (search gin_trgm_ops)",
    "CREATE INDEX options_words ON options USING gin (document)",
)
_KNN_INDEX = "CREATE INDEX options_knn ON options USING gist (search gist_trgm_ops(siglen=64))"
_VOCABULARY = """
CREATE TABLE options_vocabulary AS
SELECT DISTINCT w.word FROM options, regexp_split_to_table(btrim(search), '\\s+') w (word)
WHERE w.word !~ '^sku'
"""
_OWN = "workspace_id = '00000000-0000-0000-0000-000000000001'"
_SCORE = "word_similarity($1, search) * 0.7 + similarity($1, search) * 0.3"

WAYS = {
    "trigrams, all hits sorted": (
        f"SELECT id, {_SCORE} AS score FROM options WHERE {_OWN} AND search %> $1 "
        "ORDER BY score DESC, id LIMIT 21"
    ),
    "trigrams, 500 hits sorted": (
        f"SELECT id, {_SCORE} AS score FROM (SELECT * FROM options WHERE {_OWN} AND search %> $1 "
        "LIMIT 500) hits ORDER BY score DESC, id LIMIT 21"
    ),
    "full text, all hits sorted": (
        "SELECT id, ts_rank(document, plainto_tsquery('simple', $1)) AS score FROM options "
        f"WHERE {_OWN} AND document @@ plainto_tsquery('simple', $1) "
        "ORDER BY score DESC, id LIMIT 21"
    ),
    "full text, newest 500 sorted": (
        f"SELECT id, {_SCORE} AS score FROM (SELECT * FROM options WHERE {_OWN} AND document @@ "
        "plainto_tsquery('simple', $1) ORDER BY id DESC LIMIT 500) hits ORDER BY score DESC, id LIMIT 21"
    ),
    "LIKE, newest 500 sorted": (
        f"SELECT id, {_SCORE} AS score FROM (SELECT * FROM options WHERE {_OWN} AND "
        "search LIKE '% ' || split_part($1, ' ', 1) || '%' "
        "AND search LIKE '% ' || split_part($1, ' ', 2) || '%' "
        "ORDER BY id DESC LIMIT 500) hits ORDER BY score DESC, id LIMIT 21"
    ),
    "KNN over GiST": (
        f"SELECT id, search <->> $1 AS score FROM options WHERE {_OWN} ORDER BY search <->> $1 LIMIT 21"
    ),
    "nearest known word": (
        "SELECT word FROM options_vocabulary WHERE word % $1 "
        "ORDER BY similarity(word, $1) DESC, word LIMIT 3"
    ),
}  # fmt: skip


async def main() -> None:
    """Make the rows, time each way, print."""
    async with open_house(durable=False) as house:
        connection = await house.connect()
        try:
            await _prepare(connection)
            sys.stdout.write(f"{'way':<30}" + "".join(f"{name:>11}" for name in WORDS) + "\n")
            for way, statement in WAYS.items():
                if way.startswith("KNN"):
                    say("making the GiST index …")
                    await connection.execute(_KNN_INDEX)
                took = [await _took(connection, statement, words) for words in WORDS.values()]
                sys.stdout.write(f"{way:<30}" + "".join(f"{one:>11}" for one in took) + "\n")
                sys.stdout.flush()
        finally:
            await connection.close()


async def _prepare(connection: "asyncpg.Connection[asyncpg.Record]") -> None:
    say(f"adding {PRODUCTS:,} products …")
    make, insert = _MAKE.split(";")
    await connection.execute("SET maintenance_work_mem = '256MB'")
    await connection.execute(make)
    await connection.execute(insert, PRODUCTS)
    for index in _INDEXES:
        await connection.execute(index)
    await connection.execute(_VOCABULARY)
    await connection.execute("CREATE INDEX ON options_vocabulary USING gin (word gin_trgm_ops)")
    await connection.execute("VACUUM ANALYZE")
    await connection.execute("SET plan_cache_mode = force_custom_plan")
    await connection.execute("SET jit = off")
    # The default of 0.6 does not find `keyboard` for `keybaord`.
    await connection.execute("SET pg_trgm.word_similarity_threshold = 0.4")


async def _took(
    connection: "asyncpg.Connection[asyncpg.Record]", statement: str, words: str
) -> str:
    took: list[float] = []
    found: list[asyncpg.Record] = []
    for _ in range(RUNS + 1):
        began = time.perf_counter()
        found = await connection.fetch(statement, words)
        took.append((time.perf_counter() - began) * 1000)
        if took[-1] > PATIENCE_S * 100:
            break
    return f"{statistics.median(took[1:] or took):.1f}/{len(found)}"


if __name__ == "__main__":
    asyncio.run(main())
