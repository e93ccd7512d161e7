//! What needs neither a cluster nor a network, and what is said where one is missing: exit codes and words.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod support;

use std::process::{Command, Stdio};

use serde_json::{Value, json};
use support::{Ended, recorded, run, run_with};

const POLICY: &str = "
apiVersion: foresail.dev/v1alpha1
kind: AutoscalePolicy
metadata: {name: web}
spec:
  scaleTargetRef: {name: web}
  maxReplicas: 20
  metrics: [{name: requests, target: 100, prometheus: {query: 'sum(rate(http_requests_total[2m]))'}}]
";

#[test]
fn wrong_usage_is_exit_code_2_and_what_fails_is_1_with_words_that_help() {
    let folder = tempfile::tempdir().unwrap();
    let put = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    put("load.csv", &recorded(3));
    put("words.csv", "timestamp,value\nyesterday,many\n");
    put("list.yaml", "- 1\n- 2\n");
    put(
        "wrong.yaml",
        &POLICY.replace("target: 100", "target: 0").replace("maxReplicas: 20", "maxReplicas: -1"),
    );
    let cases: &[(&[&str], i32, &[&str])] = &[
        (&[], 2, &["Usage: foresail"]),
        (&["scale"], 2, &["unrecognized subcommand 'scale'"]),
        (&["backtest"], 2, &["--csv <FILE>"]),
        (&["backtest", "--csv", "load.csv"], 2, &["--policy <FILE>"]),
        (
            &["backtest", "--target", "80", "--csv", "load.csv", "--startup", "a minute"],
            2,
            &["--startup", "a minute"],
        ),
        (&["backtest", "--target", "0", "--csv", "load.csv"], 1, &["--target is 0", "above 0"]),
        (&["backtest", "--target", "80", "--csv", "lost.csv"], 1, &["can't read lost.csv", "No such file"]),
        (&["backtest", "--target", "80", "--csv", "words.csv"], 1, &["can't understand words.csv"]),
        (
            &["backtest", "--policy", "list.yaml", "--csv", "load.csv"],
            1,
            &["list.yaml isn't an AutoscalePolicy"],
        ),
        (
            &["backtest", "--policy", "wrong.yaml", "--csv", "load.csv"],
            1,
            &["spec.maxReplicas is -1", "spec.metrics[0].target is 0"],
        ),
        (&["pause", "web"], 2, &["--for <DURATION>", "--why <TEXT>"]),
        (&["pause", "web", "--for", "two hours", "--why", "x"], 2, &["two hours"]),
        (&["pause", "web", "--end", "--for", "2h"], 2, &["cannot be used with"]),
        (&["demo", "--speed=-1"], 1, &["--speed is -1"]),
        (&["demo", "--page", "here"], 2, &["--page"]),
        (&["explain", "lost.yaml"], 1, &["there is no file lost.yaml"]),
        (&["explain", "list.yaml"], 1, &["no recorded decision"]),
        (&["convert", "lost.yaml"], 1, &["lost.yaml"]),
        (&["crds", "--check", "nowhere"], 1, &["stale in nowhere"]),
        (&["completions", "powerhell"], 2, &["powerhell"]),
        (&["status"], 1, &["no cluster found", "--kubeconfig"]),
        (&["status", "--kubeconfig", "lost"], 1, &["can't read lost"]),
        (&["explain", "web"], 1, &["no cluster"]),
        (&["pause", "web", "--end"], 1, &["no cluster found"]),
        (&["alert", "test", "team"], 1, &["no cluster found"]),
        (&["run", "--listen", "127.0.0.1:0", "--log-filter", "off"], 1, &["no cluster found"]),
        (&["run", "--listen", "8080"], 2, &["--listen"]),
        (&["run", "--interval", "soon"], 2, &["soon"]),
    ];
    for (arguments, code, words) in cases {
        let ended = run(folder.path(), arguments);
        assert_eq!(ended.code, Some(*code), "{arguments:?}: {ended:?}");
        for word in *words {
            assert!(ended.err.contains(word), "{arguments:?} doesn't say {word:?}: {}", ended.err);
        }
        assert!(!ended.err.contains("panicked"), "{arguments:?}: {}", ended.err);
    }
}

#[test]
fn doctor_without_a_cluster_says_what_is_broken_and_fails() {
    let folder = tempfile::tempdir().unwrap();
    let ended = run(folder.path(), &["doctor", "--output", "json"]);
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let findings: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(findings[0]["area"], "cluster");
    assert_eq!(findings[0]["verdict"], "broken");
    assert!(findings[0]["remedy"].as_str().unwrap().contains("--kubeconfig"), "{findings}");
}

#[test]
fn completions_are_scripts_that_know_every_subcommand() {
    let folder = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let ended = run(folder.path(), &["completions", shell]);
        assert_eq!(ended.code, Some(0));
        for word in ["backtest", "demo", "doctor", "explain", "pause", "status", "prometheus-url"] {
            assert!(ended.out.contains(word), "{shell} doesn't know {word}");
        }
    }
    let script = run(folder.path(), &["completions", "bash"]).out;
    std::fs::write(folder.path().join("completions"), script).unwrap();
    let complete = "source ./completions; COMP_WORDS=(foresail ba); COMP_CWORD=1; _foresail foresail ba foresail; echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", complete]).current_dir(&folder).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "backtest", "{output:?}");
}

/// What `backtest` says of the recorded load beside an autoscaler's own object.
fn beside(object: &str, arguments: &[&str]) -> Ended {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("load.csv"), recorded(3)).unwrap();
    std::fs::write(folder.path().join("today.yaml"), object).unwrap();
    run(folder.path(), &[&["backtest", "--csv", "load.csv", "--quick"], arguments].concat())
}

#[test]
fn a_replay_is_held_against_the_autoscaler_that_runs_today() {
    let hpa = |metric: &str| {
        format!(
            "kind: HorizontalPodAutoscaler\nmetadata: {{name: web, namespace: shop}}\nspec:\n  scaleTargetRef: {{kind: \
             Deployment, name: web}}\n  maxReplicas: 30\n  metrics: [{metric}]\n"
        )
    };
    let external = hpa("{type: External, external: {metric: {name: rps}, target: {averageValue: 70}}}");
    let ended = beside(&external, &["--hpa", "today.yaml", "--price", "0.05"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let first = ended.out.lines().next().unwrap();
    assert!(first.contains("the HPA shop/web (") && first.contains(" instead of "), "{first}");
    // What one replica carries has the usual spare above the target.
    assert!(ended.out.contains("one replica carries 100 ·"), "{}", ended.out);
    assert!(ended.err.contains("are scored, not 14d"), "{}", ended.err);

    let cpu = hpa("{type: Resource, resource: {name: cpu, target: {averageUtilization: 60}}}");
    let ended = beside(&cpu, &["--hpa", "today.yaml"]);
    assert!(ended.code != Some(0) && ended.err.contains("--target"), "{ended:?}");
    let ended = beside(&cpu, &["--hpa", "today.yaml", "--target", "100"]);
    assert!(ended.code == Some(0) && ended.out.contains("the HPA shop/web"), "{ended:?}");

    let keda = "{kind: ScaledObject, metadata: {name: web}, spec: {scaleTargetRef: {name: web}, minReplicaCount: 1, triggers: \
                [{type: prometheus, metadata: {query: x, threshold: '70'}}]}}";
    let ended = beside(keda, &["--scaled-object", "today.yaml"]);
    assert!(ended.code == Some(0) && ended.out.contains("the ScaledObject web"), "{ended:?}");
    let ended = beside(keda, &["--hpa", "today.yaml"]);
    assert!(ended.code != Some(0) && ended.err.contains("kind is \"ScaledObject\""), "{ended:?}");
}

#[test]
fn without_one_it_is_held_against_the_hpa_that_keeps_the_spare_of_the_policy() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("load.csv"), recorded(3)).unwrap();
    std::fs::write(folder.path().join("web.yaml"), POLICY).unwrap();
    let replay =
        |more: &[&str]| run(folder.path(), &[&["backtest", "--csv", "load.csv", "--quick"], more].concat());
    // A replica is taken to saturate at a quarter more than it carries, so 30 % spare are 56 % CPU.
    let words = |of: &[&str]| replay(of).out.lines().next().unwrap_or_default().to_owned();
    assert!(words(&["--policy", "web.yaml"]).contains("an HPA at 56 %"));
    assert!(words(&["--target", "100"]).contains("an HPA at 70 %"));
}

#[test]
fn manual_pages_are_written_for_every_subcommand() {
    let folder = tempfile::tempdir().unwrap();
    assert!(run(folder.path(), &["man"]).out.contains(".TH foresail 1"));
    assert_eq!(run(folder.path(), &["man", "--write", "pages"]).code, Some(0));
    let page = |name: &str| std::fs::read_to_string(folder.path().join("pages").join(name)).unwrap();
    for name in
        ["foresail.1", "foresail-backtest.1", "foresail-alert-test.1", "foresail-doctor.1", "foresail-run.1"]
    {
        assert!(page(name).contains(".SH SYNOPSIS"), "{name}");
    }
    assert!(page("foresail-status.1").contains("Exit codes"));
}

#[test]
fn a_replay_writes_a_table_a_page_and_a_trace_whose_every_decision_can_be_replayed() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("load.csv"), recorded(3)).unwrap();
    std::fs::write(folder.path().join("web.yaml"), POLICY).unwrap();
    let replay = ["backtest", "--policy", "web.yaml", "--csv", "load.csv", "--quick"];
    let ended = run(
        folder.path(),
        &[&replay[..], &["--output", "json", "--html", "report.html", "--trace-out", "trace.jsonl"]].concat(),
    );
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let comparison: Value = serde_json::from_str(&ended.out).unwrap();
    let names: Vec<&str> =
        comparison["rows"].as_array().unwrap().iter().filter_map(|r| r["name"].as_str()).collect();
    assert!(names.contains(&"Foresail") && names.contains(&"HPA 70%"), "{names:?}");

    let page = std::fs::read_to_string(folder.path().join("report.html")).unwrap();
    for load in ["src=\"http", "href=\"http", "url(http", "@import"] {
        assert!(!page.contains(load), "the page loads something: {load}");
    }
    let explained = run(folder.path(), &["explain", "trace.jsonl", "--replay"]);
    assert_eq!(explained.code, Some(0), "{explained:?}");
    assert!(
        explained.out.contains("candidate") && explained.err.contains("the same answer"),
        "{explained:?}"
    );

    // A record that was tampered with is found out.
    let trace = std::fs::read_to_string(folder.path().join("trace.jsonl")).unwrap();
    let last = trace.lines().rfind(|l| l.contains("\"run\":\"Foresail\"")).unwrap();
    let mut record: Value = serde_json::from_str::<Value>(last).unwrap()["record"].clone();
    record["recommendation"]["target"] = json!(999);
    let ended = run_with(folder.path(), &["explain", "-", "--replay"], &record.to_string());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.err.contains("instead of 999"), "{}", ended.err);
}

#[test]
fn a_reader_that_goes_away_is_no_failure_worth_a_word() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&["crds"][..], &["completions", "bash"], &["man"], &["run", "--help"]] {
        let mut command = support::command(folder.path(), arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert!(output.stderr.is_empty(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
