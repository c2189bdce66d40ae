use super::*;

/// What Java 17 said: expression, text, whether the whole matches, and the text with `<` and `>` around every match. `␤`, `␍` and
/// `␉` stand for the line feed, the carriage return and the tabulator.
const RECORDED: &str = include_str!("recorded.tsv");

fn plain(text: &str) -> String {
    text.replace('␤', "\n")
        .replace('␍', "\r")
        .replace('␉', "\t")
}

#[test]
fn expressions_mean_what_they_mean_in_java() {
    let mut wrong = Vec::new();
    let mut expressions = std::collections::BTreeSet::new();
    for line in RECORDED.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [expression, text, is_whole, marked] = fields[..] else {
            panic!("{line}");
        };
        expressions.insert(expression);
        let (expression, text) = (plain(expression), plain(text));
        let whole = JavaRegex::whole(&expression).unwrap_or_else(|error| panic!("{line}: {error}"));
        if whole.is_match(&text) != (is_whole == "1") {
            wrong.push(format!("matches: {line}"));
        }
        let anywhere = JavaRegex::anywhere(&expression).expect("it was legal for whole texts");
        let mark = anywhere.replacement("<$0>").expect("group 0 is there");
        let found = anywhere.replace_all(&text, &mark).expect("little work");
        if found != plain(marked) {
            wrong.push(format!("replaceAll: {line}: {found:?}"));
        }
    }
    assert!(expressions.len() > 150, "{}", expressions.len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_java_refuses_is_refused() {
    for expression in include_str!("refused.txt").lines() {
        let error = JavaRegex::whole(expression).expect_err(expression);
        let is_syntax = matches!(error, JavaRegexError::Syntax(_));
        assert!(
            is_syntax || expression == r"\p{Foo}",
            "{expression}: {error}"
        );
    }
}

/// As Java 17 answered, after Spring's filters had made `$` of `$\`.
#[test]
fn replacements_mean_what_they_mean_in_java() {
    for (expression, text, replacement, expected) in [
        (
            r"/red/?(?<segment>.*)",
            "/red/blue",
            r"/$\{segment}",
            "/blue",
        ),
        (r"/red/?(?<segment>.*)", "/red", "/${segment}", "/"),
        (r"/red/?(?<segment>.*)", "/x/red/blue", "/$1", "/x/blue"),
        ("/a", "/a/a/a", "/b", "/b/b/b"),
        ("(.*)", "/a", "/x$1", "/x/a/x"),
        (
            r"/k/(?<a>[^/]+)/(?<b>.*)",
            "/k/1/2",
            r"/$\{b}/$\{a}",
            "/2/1",
        ),
        (r"/k/(?<seg>.*)", "/k/v", r"/$\{seg}/\$\{seg}", "/v/${seg}"),
        ("(a)(b)?", "a", "[$2]", "[]"),
        ("(a)", "a", "$12", "a2"),
        ("(a)", "a", "$01", "a"),
        ("(a)", "a", "$0$0", "aa"),
        ("(a)", "a", r"\\$1", r"\a"),
        ("(a)", "a", r"$\1", "a"),
        ("(a)", "a", "", ""),
        ("a", "a", "中$0", "中a"),
        ("(?<n>a)", "a", "${n}}", "a}"),
        ("x*", "abc", "-", "-a-b-c-"),
        ("a*", "baaac", "-", "-b--c-"),
        ("", "ab", "-", "-a-b-"),
        ("b|", "abb", "-", "-a---"),
        ("$", "中", "-", "中-"),
        ("(?=中)", "a中", "-", "a-中"),
        ("c", "ab", "-", "ab"),
    ] {
        let regex = JavaRegex::anywhere(expression).expect(expression);
        let with = regex.replacement(replacement).expect(replacement);
        let replaced = regex.replace_all(text, &with).expect("little work");
        assert_eq!(replaced, expected, "{expression} {replacement}");
    }
}

#[test]
fn a_replacement_that_java_would_fail_on_is_refused() {
    let regex = JavaRegex::anywhere("(?<n>a)").expect("legal");
    for (replacement, problem) in [
        ("$2", "no group 2"),
        ("$9a", "no group 9"),
        (r"x\", "stands at the end"),
        ("x$", "neither by a number"),
        ("$x", "neither by a number"),
        ("${", "not closed"),
        ("${n", "not closed"),
        ("${}", "not the name"),
        ("${1}", "not the name"),
        ("${a b}", "not the name"),
        ("${m}", "no group `m`"),
    ] {
        let error = regex.replacement(replacement).expect_err(replacement);
        assert!(
            error.to_string().contains(problem),
            "{replacement}: {error}"
        );
    }
    let with = |text| regex.replacement(text).expect("legal");
    assert!(with("/b").is_constant() && !with("$1").is_constant());
    assert_eq!(with("/x/${n}/y").shortest(), "/x//y");
}

#[test]
fn groups_are_numbered_and_may_take_no_part() {
    let regex = JavaRegex::whole("(?<a>x)?(y)|(?:z)(?=z)z").expect("legal");
    assert_eq!(regex.groups(), 2);
    assert_eq!(regex.captures("xy"), Some(vec![Some("x"), Some("y")]));
    assert_eq!(regex.captures("y"), Some(vec![None, Some("y")]));
    assert_eq!(regex.captures("zz"), Some(vec![None, None]));
    assert_eq!(regex.captures("x"), None);
    assert!(regex.is_backtracking() && !JavaRegex::whole("a").expect("legal").is_backtracking());
}

#[test]
fn what_cannot_be_honoured_is_refused_with_the_reason() {
    for (expression, problem) in [
        (r"\Ga", r"`\G`"),
        (r"\X", r"`\X`"),
        (r"\N{DIGIT ONE}", r"`\N{…}`"),
        (r"\b{g}", r"`\b{…}`"),
        (r"\p{InGreek}", "a Unicode block"),
        (r"\p{block=Greek}", "a Unicode block"),
        (r"\p{javaMirrored}", "javaMirrored"),
        (r"(?U)\p{Graph}", "under the flag `U`"),
        (r"\p{IsAssigned}", "IsAssigned"),
        ("[a&&]", "empty side"),
        ("[&&a]", "empty side"),
        ("[a&&&b]", "empty side"),
        (r"(?i)(a)\1", "under `(?i)`"),
        (r"(a)\2", r"`\2` without such a group"),
        ("a{2}{3}", "second number of repetitions"),
        (r"\ud83d", "half a surrogate pair"),
        (r"\p{IsNoSuchScript}", "not found"),
    ] {
        let error = JavaRegex::whole(expression).expect_err(expression);
        assert!(error.to_string().contains(problem), "{expression}: {error}");
    }
}

#[test]
fn expressions_are_bounded_in_size_depth_and_work() {
    for (expression, problem) in [
        ("a".repeat(MAX_TEXT_BYTES + 1), "longer than"),
        ("(?:".repeat(60) + &")".repeat(60), "nested deeper"),
        ("[".repeat(30) + "a" + &"]".repeat(30), "nested deeper"),
        ("(?:a{1000}){1000}".to_owned(), "when compiled"),
    ] {
        let error = JavaRegex::whole(&expression).expect_err(problem);
        assert!(error.to_string().contains(problem), "{error}");
    }
    // Linear for the one engine, bounded for the other.
    let text = "a".repeat(4_000) + "b";
    assert!(!JavaRegex::whole("(?:a+)+").expect("legal").is_match(&text));
    for expression in [r"(?:(?:a|aa)+(?=a|b))+c", r"(a|aa)+\1c"] {
        let evil = JavaRegex::anywhere(expression).expect("legal");
        assert!(
            evil.is_backtracking() && !evil.is_match(&text),
            "{expression}"
        );
        let with = evil.replacement("x").expect("legal");
        assert_eq!(
            evil.replace_all(&text, &with),
            Err(TooMuchWork),
            "{expression}"
        );
    }
    let long = "a".repeat(MAX_BACKTRACKING_TEXT_BYTES + 1);
    let short = JavaRegex::anywhere("a(?=a)").expect("legal");
    assert!(!short.is_match(&long) && short.is_match(&long[1..]));
}
