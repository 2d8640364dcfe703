//! Whether a new model is good enough, and if not, why.

use super::gate::{Judged, Role, Score, Standing};

/// An error of this many deviations of the series is none: where one is right and another off by its rounding, neither is
/// better, and a horizon at which somebody is always right does not outweigh all others.
const NOTHING: f64 = 1e-4;

/// What is asked of a new model.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// By what share its errors must be lower than those of the model in force and of seasonal naive.
    pub margin: f64,
    /// The greatest error at any horizon: sum of absolute errors by sum of absolute actual values, the mean of all series.
    pub max_error: Option<f64>,
}

/// Everything that speaks against putting the new model in force, a sentence each; empty where it earned it.
pub fn objections(judged: &Judged, rule: &Rule) -> Vec<String> {
    let mut found = Vec::new();
    let of = |role: Role| judged.standings.iter().find(move |one| one.role == role);
    let Some(new) = of(Role::New) else {
        return vec!["it was not judged".to_owned()];
    };
    for other in [Role::Champion, Role::Naive].into_iter().filter_map(of) {
        against(new, other, rule, &mut found);
    }
    for (score, horizon) in new.scores.iter().zip(&judged.horizons) {
        let Some(score) = score else {
            found.push(format!("it has no answer at {horizon} to judge by"));
            continue;
        };
        if let Some(most) = rule
            .max_error
            .filter(|&most| score.error_ratio.is_nan() || score.error_ratio > most)
        {
            let error = 100.0 * score.error_ratio;
            let most = 100.0 * most;
            found.push(format!(
                "its error at {horizon} is {error:.1} %, above the {most:.1} % that are allowed"
            ));
        }
    }
    found
}

/// By what share the errors of `new` are lower than those of `other`: the geometric mean over the horizons that both answer, of the
/// mean absolute error and of the quantile loss. `None` where there is nothing to compare.
pub fn gain(new: &Standing, other: &Standing) -> (Option<f64>, Option<f64>) {
    let mean = |of: &dyn Fn(&Score) -> Option<f64>| {
        let both = new.scores.iter().zip(&other.scores);
        let ratios = both.filter_map(|(new, other)| {
            let (new, other) = (of(new.as_ref()?)?, of(other.as_ref()?)?);
            Some((new + NOTHING) / (other + NOTHING))
        });
        let logs: Vec<f64> = ratios.map(f64::ln).collect();
        (!logs.is_empty()).then(|| 1.0 - (logs.iter().sum::<f64>() / logs.len() as f64).exp())
    };
    (
        mean(&|score| Some(score.mae)),
        mean(&|score| score.quantile_loss),
    )
}

fn against(new: &Standing, other: &Standing, rule: &Rule, found: &mut Vec<String>) {
    let whose = match other.role {
        Role::Champion => format!("{}, which is in force", other.name),
        _ => other.name.clone(),
    };
    let (error, loss) = gain(new, other);
    if error.is_none() {
        found.push(format!("it has no horizon in common with {whose}"));
    }
    for (what, gain) in [("mean absolute error", error), ("quantile loss", loss)] {
        // Not a number is no gain.
        let Some(gain) = gain.filter(|&gain| gain.is_nan() || gain < rule.margin) else {
            continue;
        };
        let (share, margin) = (100.0 * gain.abs(), 100.0 * rule.margin);
        found.push(match gain < 0.0 {
            true => format!("its {what} is {share:.1} % higher than that of {whose}"),
            false => format!(
                "its {what} is {share:.1} % lower than that of {whose}, and {margin:.1} % are asked for"
            ),
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::series::Span;

    fn standing(role: Role, errors: [f64; 2], losses: Option<[f64; 2]>) -> Standing {
        let score = |place: usize| Score {
            count: 10,
            mae: errors[place],
            quantile_loss: losses.map(|losses| losses[place]),
            error_ratio: errors[place] / 100.0,
        };
        Standing {
            name: format!("{role:?}"),
            role,
            scores: vec![Some(score(0)), Some(score(1))],
        }
    }

    fn judged(new: [f64; 2], champion: Option<[f64; 2]>) -> Judged {
        let mut standings = vec![
            standing(Role::New, new, Some(new)),
            standing(Role::Default, [0.1, 0.1], Some([0.1, 0.1])),
            standing(Role::Naive, [10.0, 20.0], Some([10.0, 20.0])),
        ];
        standings.extend(champion.map(|errors| standing(Role::Champion, errors, None)));
        Judged {
            horizons: vec![Span::minutes(15), Span::minutes(60)],
            standings,
            series: 1,
            origins: 10,
        }
    }

    const RULE: Rule = Rule {
        margin: 0.02,
        max_error: None,
    };

    #[test]
    fn only_who_wins_by_the_margin_is_promoted() {
        for (new, champion, objected) in [
            ([9.7, 19.4], None, vec![]),
            (
                [9.9, 19.8],
                None,
                vec![
                    "mean absolute error is 1.0 % lower",
                    "quantile loss is 1.0 % lower",
                ],
            ),
            ([10.1, 20.2], None, vec!["1.0 % higher", "1.0 % higher"]),
            // Over both horizons it counts: half as wrong at one, twice at the other.
            ([5.0, 40.0], None, vec!["error is 0.0 %", "loss is 0.0 %"]),
            ([9.0, 18.0], Some([9.3, 18.6]), vec![]),
            (
                [9.0, 18.0],
                Some([9.1, 18.2]),
                vec!["than that of Champion, which is in force"],
            ),
        ] {
            let found = objections(&judged(new, champion), &RULE);
            assert_eq!(found.len(), objected.len(), "{new:?}: {found:?}");
            for (found, wanted) in found.iter().zip(objected) {
                assert!(found.contains(wanted), "{found}");
            }
        }
    }

    #[test]
    fn the_bound_holds_at_every_horizon() {
        let rule = Rule {
            max_error: Some(0.15),
            ..RULE
        };
        let found = objections(&judged([9.0, 18.0], None), &rule);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].contains("at 1h is 18.0 %, above the 15.0 %"),
            "{}",
            found[0]
        );
        assert!(objections(&judged([5.0, 14.0], None), &rule).is_empty());
    }

    #[test]
    fn rounding_decides_nothing() {
        for (new, naive) in [([3e-8, 5.0], [0.0, 10.0]), ([0.0, 5.0], [3e-8, 10.0])] {
            let (new, naive) = (
                standing(Role::New, new, Some(new)),
                standing(Role::Naive, naive, Some(naive)),
            );
            let gain = gain(&new, &naive).0.unwrap();
            assert!((gain - (1.0 - 0.5_f64.sqrt())).abs() < 1e-3, "{gain}");
        }
    }

    #[test]
    fn what_cannot_be_compared_is_not_promoted() {
        let mut judged = judged([5.0, 5.0], Some([9.0, 9.0]));
        for score in &mut judged.standings[3].scores {
            *score = None;
        }
        let found = objections(&judged, &RULE);
        assert!(
            found[0].contains("no horizon in common with Champion"),
            "{found:?}"
        );
        judged.standings[0].scores[1].as_mut().unwrap().mae = f64::NAN;
        assert!(!objections(&judged, &RULE).is_empty());
    }
}
