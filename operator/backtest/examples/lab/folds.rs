//! Families of series as folds: the constants of the selection are chosen on all families but one, and that one is played
//! with them. The distance between what is reached so and with the constants that are best on all is what was fitted to these
//! series and won't be found on others.

use std::collections::BTreeMap;

use decide::{Protection, SelectionRule};
use rayon::prelude::*;

use crate::args::Args;
use crate::selection::{Outcome, Played, Together, geometric_mean, hindsight, outcome};

/// A rule's outcomes, one for each scene.
type Row = Vec<Option<Outcome>>;

pub(crate) fn tell(args: &Args, played: &[Played<'_>]) {
    let Some(everything) = args.left_out.first() else { return };
    for protection in &args.protections {
        let rules = rules(*protection);
        let rows: Vec<Row> = rules
            .par_iter()
            .map(|rule| played.iter().map(|p| outcome(rule, p, *protection, everything)).collect())
            .collect();
        report(args, played, *protection, &rules, &rows);
    }
}

/// The rules that are chosen among.
fn rules(protection: Protection) -> Vec<SelectionRule> {
    let usual = SelectionRule::default();
    match protection {
        Protection::SameCost => {
            let of = |saving: f64| {
                [0.0, 0.1, 0.3].map(|gain| SelectionRule { saving, least_gain: (0.03, gain), ..usual })
            };
            [0.0, 1.0, 2.0, 5.0, 10.0].into_iter().flat_map(of).collect()
        }
        Protection::Share(_) => {
            let of = |budget_share: f64| {
                [1.0, 2.0, 4.0].into_iter().flat_map(move |dearer| {
                    [0.004, 0.008, 0.016].map(|reversal| SelectionRule {
                        budget_share,
                        dearer,
                        reversal,
                        ..usual
                    })
                })
            };
            [0.4, 0.6, 0.8, 1.0].into_iter().flat_map(of).collect()
        }
    }
}

fn family<'a>(played: &'a Played<'_>) -> &'a str {
    let name = &played.scene.name;
    name.split_once('_').map_or(name, |(family, _)| family)
}

/// Which rule is best where `wanted` says so: by the geometric mean of replica-hours over the HPA tuned in hindsight.
fn best(played: &[Played<'_>], rows: &[Row], wanted: impl Fn(&Played<'_>) -> bool) -> usize {
    let worth = |row: &Row| {
        let of = |(p, o): (&Played<'_>, &Option<Outcome>)| {
            o.as_ref().filter(|_| wanted(p)).map(|o| o.over_tuned_hpa)
        };
        geometric_mean(played.iter().zip(row).filter_map(of))
    };
    (0..rows.len()).min_by(|a, b| worth(&rows[*a]).total_cmp(&worth(&rows[*b]))).unwrap_or(0)
}

fn report(args: &Args, played: &[Played<'_>], protection: Protection, rules: &[SelectionRule], rows: &[Row]) {
    let usual = SelectionRule::default();
    let in_force = rules.iter().position(|rule| *rule == usual).unwrap_or(0);
    let in_fold = best(played, rows, |_| true);
    let mut chosen: BTreeMap<&str, usize> = BTreeMap::new();
    for p in played {
        chosen.entry(family(p)).or_insert_with(|| best(played, rows, |other| family(other) != family(p)));
    }
    println!("{protection}: {} rules, {} families", rules.len(), chosen.len());
    for startup in &args.startups {
        let row = |name: &str, rule: &dyn Fn(&Played<'_>) -> usize| {
            let here = |(i, p): (usize, &Played<'_>)| {
                rows[rule(p)][i].as_ref().filter(|_| p.scene.startup == *startup)
            };
            println!("  {startup:>4} s  {name:<34} {}", summary(played.iter().enumerate().filter_map(here)));
        };
        row("the rule in force", &|_| in_force);
        row("in-fold: best on all", &|_| in_fold);
        row("out-of-fold: best on other families", &|p| chosen.get(family(p)).copied().unwrap_or(in_force));
        let here = played.iter().filter(|p| p.scene.startup == *startup);
        let known: Vec<Outcome> = here.filter_map(|p| hindsight(&usual, p, protection)).collect();
        println!("  {startup:>4} s  {:<34} {}", "one strategy a series, in hindsight", summary(known.iter()));
    }
    println!("  best on all: {:?}", rules[in_fold]);
    let others: Vec<String> = chosen
        .iter()
        .filter(|(_, rule)| **rule != in_fold)
        .map(|(family, rule)| format!("  without {family}: {:?}", rules[*rule]))
        .collect();
    println!("{}", others.join("\n"));
}

fn summary<'a>(outcomes: impl Iterator<Item = &'a Outcome> + Clone) -> String {
    let Together { series, over_tuned_hpa, worst, broken, hours, changes, dominated } =
        Together::of(outcomes);
    format!(
        "{series:>3} series, R/HPA* {over_tuned_hpa:.3} (worst {worst:.3}), against HPA 70 %: broken {broken:.2}, hours {hours:.3}, changes {changes:.2}; dominated {dominated}"
    )
}
