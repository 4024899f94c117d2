//! The queries of the cut check, each with what must become of it. Every aggregate that the session
//! knows is in at least one of them.

use sql::Refusal;

use super::compare::Bound;

pub struct Query {
    pub name: &'static str,
    pub sql: &'static str,
    pub expect: Expect,
    /// In the short form too.
    pub short: bool,
}

pub enum Expect {
    Runs(Bound),
    Refused(Refusal),
}

/// Float sums of positive values in another order: n·ε for 6,000 rows is 6.6e-13.
const SUM: Bound = Bound::Relative(1e-12);
/// Moments are differences of sums: some digits more.
const MOMENT: Bound = Bound::Relative(1e-9);
/// Two t-digests of one stream, merged differently, by value on a smooth distribution.
const SKETCH: Bound = Bound::Relative(0.03);

pub fn all() -> Vec<Query> {
    let mut all = vec![];
    for (short, name, sql) in EXACT {
        all.push(Query { name, sql, expect: Expect::Runs(Bound::Exact), short });
    }
    for (short, name, sql, bound) in BOUNDED {
        all.push(Query { name, sql, expect: Expect::Runs(bound), short });
    }
    for (short, name, sql, refusal) in REFUSED {
        all.push(Query { name, sql, expect: Expect::Refused(refusal), short });
    }
    all
}

/// Aggregates of the session that stand in no query.
pub fn uncovered(all: &[Query]) -> Vec<String> {
    let calls = |name: &String| all.iter().any(|q| q.sql.contains(&format!("{name}(")));
    sql::aggregate_names().into_iter().filter(|name| !calls(name)).collect()
}

const EXACT: [(bool, &str, &str); 43] = [
    (true, "count(*)", "SELECT k, count(*) AS n FROM flows GROUP BY k"),
    (false, "count(x)", "SELECT k, count(bytes) AS n, count(g) AS m FROM flows GROUP BY k"),
    (true, "count distinct alone", "SELECT count(DISTINCT dst) AS n FROM flows"),
    (false, "count distinct by key", "SELECT k, count(DISTINCT g) AS n FROM flows GROUP BY k"),
    (
        true,
        "count distinct mixed",
        "SELECT k, count(DISTINCT dst) AS d, count(DISTINCT port) AS p, count(*) AS n, \
         sum(bytes) AS b FROM flows GROUP BY k HAVING count(DISTINCT dst) > 3",
    ),
    (
        false,
        "count distinct filter",
        "SELECT port, count(DISTINCT dst) FILTER (WHERE up) AS d FROM flows GROUP BY port",
    ),
    (false, "count distinct floats", "SELECT k, count(DISTINCT x) AS n FROM flows GROUP BY k"),
    (false, "count distinct two", "SELECT count(DISTINCT k), count(DISTINCT g) FROM flows"),
    (false, "sum int", "SELECT k, sum(bytes) AS b, sum(packets) AS p FROM flows GROUP BY k"),
    (false, "sum distinct", "SELECT k, sum(DISTINCT bytes) AS b FROM flows GROUP BY k"),
    (false, "sum expression", "SELECT port, sum(bytes * 8 + 1) AS bits FROM flows GROUP BY port"),
    (false, "sum wraps", "SELECT sum(packets * 4000000000000000) AS p FROM flows"),
    (true, "min max NaN", "SELECT k, min(odd) AS lo, max(odd) AS hi FROM flows GROUP BY k"),
    (false, "min max NaN alone", "SELECT min(odd) AS lo, max(odd) AS hi FROM flows"),
    (false, "min max ints", "SELECT g, min(bytes), max(bytes), min(port) FROM flows GROUP BY g"),
    (false, "min max text", "SELECT k, min(g) AS lo, max(g) AS hi FROM flows GROUP BY k"),
    (false, "min max time", "SELECT k, min(at) AS lo, max(at) AS hi FROM flows GROUP BY k"),
    (false, "min max bool", "SELECT k, min(up) AS lo, max(up) AS hi FROM flows GROUP BY k"),
    (false, "median", "SELECT k, median(bytes) AS m, median(x) AS mx FROM flows GROUP BY k"),
    (
        false,
        "percentile_cont NaN",
        "SELECT k, percentile_cont(0.3) WITHIN GROUP (ORDER BY odd) AS p, \
         median(DISTINCT odd) AS m FROM flows GROUP BY k",
    ),
    (false, "median NaN", "SELECT k, median(odd) AS m FROM flows GROUP BY k"),
    (
        false,
        "percentile_cont",
        "SELECT k, percentile_cont(0.95) WITHIN GROUP (ORDER BY x) AS p FROM flows GROUP BY k",
    ),
    (true, "approx_distinct", "SELECT k, approx_distinct(dst) AS n FROM flows GROUP BY k"),
    (
        false,
        "approx_distinct mixed",
        "SELECT approx_distinct(bytes), approx_distinct(g), approx_distinct(at), count(*) \
         FROM flows",
    ),
    (
        false,
        "bits",
        "SELECT k, bit_and(packets), bit_or(packets), bit_xor(packets) FROM flows GROUP BY k",
    ),
    (false, "bit_xor distinct", "SELECT bit_xor(DISTINCT packets) AS x FROM flows"),
    (false, "bools", "SELECT k, bool_and(up) AS a, bool_or(up) AS o FROM flows GROUP BY k"),
    (false, "regr_count", "SELECT k, regr_count(x, rate) AS n FROM flows GROUP BY k"),
    (false, "no GROUP BY", "SELECT count(*) AS n, sum(bytes) AS b, max(x) AS m FROM flows"),
    (false, "no rows", "SELECT count(*) AS n, sum(bytes) AS b FROM flows WHERE port = 1"),
    (false, "no groups", "SELECT k, count(*) AS n FROM flows WHERE port = 1 GROUP BY k"),
    (false, "group by NULL text", "SELECT g, port, count(*) AS n FROM flows GROUP BY g, port"),
    (false, "group by NaN", "SELECT odd, count(*) AS n FROM flows GROUP BY odd"),
    (false, "group by address", "SELECT ip(dst) AS host, count(*) AS n FROM flows GROUP BY dst"),
    (
        false,
        "group by expression",
        "SELECT k % 7 AS m, upper(g) AS word, count(*) AS n FROM flows GROUP BY k % 7, upper(g)",
    ),
    (
        false,
        "group by prefix",
        "SELECT ip(prefix(dst, 16, 48)) AS net, is_v4(dst) AS v4, count(*) AS n FROM flows \
         WHERE in_prefix(dst, '10.0.0.0/8') OR NOT is_v4(dst) GROUP BY prefix(dst, 16, 48), \
         is_v4(dst)",
    ),
    (
        true,
        "CASE and FILTER",
        "SELECT k, sum(CASE WHEN up THEN bytes ELSE 0 END) AS up, \
         count(*) FILTER (WHERE port = 443 AND NOT up) AS tls, \
         max(bytes) FILTER (WHERE g LIKE 'gru%') AS top FROM flows GROUP BY k",
    ),
    (
        false,
        "HAVING",
        "SELECT k, count(*) * 2 AS n2 FROM flows WHERE bytes IS NOT NULL AND at IS NOT NULL \
         GROUP BY k HAVING count(*) > 80 AND max(bytes) < 200000000000000000",
    ),
    (false, "DISTINCT", "SELECT DISTINCT port, up FROM flows"),
    (false, "GROUP BY alone", "SELECT k FROM flows GROUP BY k HAVING k > 10"),
    (
        false,
        "subquery of rows",
        "SELECT p, count(*) AS n FROM (SELECT port AS p, bytes FROM flows WHERE up) AS f \
         WHERE bytes > 100 GROUP BY p",
    ),
    (
        false,
        "WITH of rows",
        "WITH big AS (SELECT k, bytes FROM flows WHERE bytes > 1500) \
         SELECT k, count(*) AS n FROM big GROUP BY k",
    ),
    (
        false,
        "grouping sets",
        "SELECT port, up, grouping(port) AS gp, count(*) AS n FROM flows \
         GROUP BY GROUPING SETS ((port, up), (port), ())",
    ),
];

const BOUNDED: [(bool, &str, &str, Bound); 19] = [
    (true, "sum float", "SELECT k, sum(rate) AS r FROM flows GROUP BY k", SUM),
    (false, "sum float NaN", "SELECT k, sum(odd) AS r FROM flows GROUP BY k", SUM),
    (false, "sum distinct float", "SELECT k, sum(DISTINCT x) AS r FROM flows GROUP BY k", SUM),
    (true, "avg", "SELECT k, avg(rate) AS r, avg(packets) AS b FROM flows GROUP BY k", SUM),
    (false, "avg distinct", "SELECT k, avg(DISTINCT x) AS r FROM flows GROUP BY k", SUM),
    (
        false,
        "variance",
        "SELECT k, var_samp(x) AS s, var_pop(x) AS p, var(x) AS v FROM flows GROUP BY k",
        MOMENT,
    ),
    (
        false,
        "deviation",
        "SELECT k, stddev(x) AS s, stddev_pop(x) AS p, stddev_samp(rate) AS r FROM flows \
         GROUP BY k",
        MOMENT,
    ),
    (false, "deviation alone", "SELECT stddev(rate) AS s, count(*) AS n FROM flows", MOMENT),
    (
        false,
        "covariance",
        "SELECT covar_samp(x, x * 2 + rate) AS s, covar_pop(x, x + rate) AS p FROM flows",
        MOMENT,
    ),
    (false, "corr", "SELECT port, corr(x, x + rate) AS c FROM flows GROUP BY port", MOMENT),
    (
        false,
        "regression",
        "SELECT port, regr_slope(x + rate, x), regr_intercept(x + rate * 100, x), \
         regr_r2(x + rate, x), regr_avgx(x, rate), regr_avgy(x, rate), regr_sxx(x, rate), \
         regr_syy(x, rate), regr_sxy(x + rate, x) FROM flows GROUP BY port",
        MOMENT,
    ),
    (false, "approx_median", "SELECT approx_median(x) AS m FROM flows", SKETCH),
    (
        false,
        "approx_percentile",
        "SELECT port, approx_percentile_cont(0.9) WITHIN GROUP (ORDER BY x) AS p FROM flows \
         GROUP BY port",
        SKETCH,
    ),
    (
        false,
        "weighted percentile",
        "SELECT approx_percentile_cont_with_weight(packets, 0.9) WITHIN GROUP (ORDER BY x) AS p \
         FROM flows",
        SKETCH,
    ),
    (
        false,
        "array_agg",
        "SELECT k, array_agg(port) AS ports FROM flows GROUP BY k",
        Bound::AnyOrder,
    ),
    (
        false,
        "array_agg distinct",
        "SELECT k, array_agg(DISTINCT port) AS ports FROM flows GROUP BY k",
        Bound::AnyOrder,
    ),
    (
        false,
        "string_agg",
        "SELECT k, string_agg(g, ',') AS words FROM flows WHERE g <> '' GROUP BY k",
        Bound::AnyOrder,
    ),
    (
        true,
        "top_k",
        "SELECT k, top_k(dst, packets, 5) AS top, count(*) AS n FROM flows \
         WHERE is_v4(dst) GROUP BY k",
        Bound::Exact,
    ),
    (
        false,
        "avg HAVING",
        "SELECT port, avg(x) / 2 AS half FROM flows WHERE rate > 0.5 GROUP BY port \
         HAVING avg(x) > 1",
        SUM,
    ),
];

const REFUSED: [(bool, &str, &str, Refusal); 25] = [
    (
        true,
        "ORDER BY",
        "SELECT k, count(*) AS n\nFROM flows\nGROUP BY k\nORDER BY n DESC",
        Refusal::OrderBy,
    ),
    (false, "LIMIT", "SELECT k, count(*) AS n FROM flows GROUP BY k LIMIT 10", Refusal::Limit),
    (false, "OFFSET", "SELECT k, count(*) AS n FROM flows GROUP BY k OFFSET 2", Refusal::Limit),
    (
        false,
        "window function",
        "SELECT k, sum(bytes) OVER (PARTITION BY k) AS s FROM flows",
        Refusal::Window,
    ),
    (
        false,
        "row_number",
        "SELECT k, row_number() OVER (ORDER BY at) AS r FROM flows",
        Refusal::Window,
    ),
    (
        false,
        "first_value",
        "SELECT k, first_value(bytes) AS b FROM flows GROUP BY k",
        Refusal::FirstLast,
    ),
    (
        true,
        "last_value",
        "SELECT k, last_value(bytes ORDER BY at) AS b FROM flows GROUP BY k",
        Refusal::FirstLast,
    ),
    (
        false,
        "nth_value",
        "SELECT k, nth_value(bytes, 2) AS b FROM flows GROUP BY k",
        Refusal::FirstLast,
    ),
    (
        false,
        "any_value",
        "SELECT k, any_value(bytes) AS b FROM flows GROUP BY k",
        Refusal::FirstLast,
    ),
    (false, "DISTINCT ON", "SELECT DISTINCT ON (k) k, bytes FROM flows", Refusal::FirstLast),
    (
        true,
        "nested",
        "SELECT max(n) AS m FROM (SELECT k, count(*) AS n FROM flows GROUP BY k)",
        Refusal::Nested,
    ),
    (
        false,
        "nested with",
        "WITH c AS (SELECT k, sum(bytes) AS b FROM flows GROUP BY k) SELECT avg(b) FROM c",
        Refusal::Nested,
    ),
    (false, "sum of count", "SELECT sum(count(*)) FROM flows GROUP BY k", Refusal::Nested),
    (
        false,
        "DISTINCT over groups",
        "SELECT DISTINCT count(*) AS n FROM flows GROUP BY k",
        Refusal::Nested,
    ),
    (
        false,
        "array_agg ordered",
        "SELECT k, array_agg(port ORDER BY at) AS p FROM flows GROUP BY k",
        Refusal::OrderBy,
    ),
    (
        false,
        "join",
        "SELECT a.k, count(*) FROM flows a JOIN flows b ON a.k = b.k GROUP BY a.k",
        Refusal::Shape,
    ),
    (false, "comma join", "SELECT count(*) FROM flows a, flows b WHERE a.k = b.k", Refusal::Shape),
    (
        false,
        "IN subquery",
        "SELECT count(*) FROM flows WHERE k IN (SELECT max(k) FROM flows)",
        Refusal::Shape,
    ),
    (
        false,
        "scalar subquery",
        "SELECT count(*) FROM flows WHERE bytes > (SELECT avg(bytes) FROM flows)",
        Refusal::Shape,
    ),
    (
        false,
        "UNION",
        "SELECT count(*) FROM flows UNION ALL SELECT count(*) FROM flows",
        Refusal::Shape,
    ),
    (false, "no aggregate", "SELECT k, bytes FROM flows WHERE up", Refusal::NoAggregate),
    (false, "clock", "SELECT count(*) FROM flows WHERE at < now()", Refusal::Volatile),
    (
        false,
        "unknown column",
        "SELECT k,\n       sum(byts) AS b\nFROM flows GROUP BY k",
        Refusal::Unknown,
    ),
    (false, "unknown table", "SELECT count(*) FROM flow", Refusal::Unknown),
    (false, "syntax", "SELECT k, count(*) FROM flows GRUOP BY k", Refusal::Syntax),
];
