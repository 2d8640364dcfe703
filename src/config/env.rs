//! `${NAME}` placeholders: values of the environment inside the file.
//!
//! They are put in after the YAML was read, and only into scalar values, so that a value of the
//! environment can never change the structure of the file.

use super::{path::Path, problem::Problem};
use serde_yaml::Value;

/// Looks up a variable of the environment.
pub type Lookup<'e> = &'e dyn Fn(&str) -> Option<String>;

/// Puts the environment into every scalar value of `root`. Gives back the paths that took one in.
pub(super) fn fill(root: &mut Value, env: Lookup<'_>, problems: &mut Vec<Problem>) -> Vec<Path> {
    let mut filled = Vec::new();
    visit(root, &Path::default(), env, problems, &mut filled);
    filled
}

fn visit(
    value: &mut Value,
    path: &Path,
    env: Lookup<'_>,
    problems: &mut Vec<Problem>,
    filled: &mut Vec<Path>,
) {
    match value {
        Value::Mapping(map) => {
            for (key, inner) in map.iter_mut() {
                let name = key.as_str().unwrap_or("?");
                visit(inner, &path.key(name), env, problems, filled);
            }
        }
        Value::Sequence(list) => {
            for (index, inner) in list.iter_mut().enumerate() {
                visit(inner, &path.index(index), env, problems, filled);
            }
        }
        Value::Tagged(tagged) => visit(&mut tagged.value, path, env, problems, filled),
        Value::String(text) if text.contains('$') => match expand(text, env) {
            Ok(expanded) => {
                if expanded.from_env {
                    filled.push(path.clone());
                }
                *text = expanded.text;
            }
            Err(messages) => {
                let found = messages.into_iter().map(|m| Problem::new(path.clone(), m));
                problems.extend(found);
            }
        },
        _ => {}
    }
}

struct Expanded {
    text: String,
    from_env: bool,
}

/// `$$` is a dollar, `${NAME}` a variable; a lone `$` stays, as regular expressions end in one.
fn expand(text: &str, env: Lookup<'_>) -> Result<Expanded, Vec<String>> {
    let (mut out, mut from_env, mut problems) = (String::new(), false, Vec::new());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some(inner) = after.strip_prefix('{') {
            let Some((name, tail)) = inner.split_once('}') else {
                problems.push("`${` without `}`; write $${ for a literal ${".to_owned());
                break;
            };
            match variable(name, env) {
                Ok(value) => out.push_str(&value),
                Err(problem) => problems.push(problem),
            }
            from_env = true;
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    if problems.is_empty() {
        Ok(Expanded {
            text: out,
            from_env,
        })
    } else {
        Err(problems)
    }
}

fn variable(name: &str, env: Lookup<'_>) -> Result<String, String> {
    let letter = |c: char| c == '_' || c.is_ascii_alphanumeric();
    if name.is_empty()
        || name.starts_with(|c: char| c.is_ascii_digit())
        || !name.chars().all(letter)
    {
        return Err(format!(
            "`${{{name}}}` does not name an environment variable (letters, digits, _); write $${{{name}}} for the literal text"
        ));
    }
    env(name).ok_or_else(|| {
        format!("the environment variable {name} is not set; set it, or write $${{{name}}} for the literal text")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        (name == "HOST").then(|| "prom:9090 ${X}".to_owned())
    }

    #[track_caller]
    fn check(text: &str, expected: Result<&str, &str>) {
        match (expand(text, &env), expected) {
            (Ok(done), Ok(expected)) => assert_eq!(done.text, expected),
            (Err(problems), Err(part)) => assert!(problems[0].contains(part), "{problems:?}"),
            (done, expected) => panic!("{text}: {:?}, not {expected:?}", done.map(|d| d.text)),
        }
    }

    #[test]
    fn expands() {
        check("http://${HOST}/x", Ok("http://prom:9090 ${X}/x"));
        check("a{b=~\"c$\"}", Ok("a{b=~\"c$\"}"));
        check("$${HOST} $$ $", Ok("${HOST} $ $"));
        check("${NOPE}", Err("NOPE is not set"));
        check(
            "label_replace(x, \"a\", \"${1}\", \"b\", \"c\")",
            Err("$${1}"),
        );
        check("${HOST", Err("without `}`"));
    }

    #[test]
    fn only_values_and_every_problem() {
        let mut root: Value =
            serde_yaml::from_str("{a: '${A} ${B}', '${HOST}': [1, '${HOST}']}").unwrap();
        let mut problems = Vec::new();
        let filled = fill(&mut root, &env, &mut problems);
        assert_eq!(problems.len(), 2);
        assert_eq!(filled.len(), 1);
        assert_eq!(filled[0].to_string(), "${HOST}[1]");
    }
}
