//! The manifests of `examples/deploy`, read as those read them who run them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{CommandFactory as _, Parser as _};
use serde::Deserialize as _;
use serde_json::Value;

use crate::args::{Cli, Command, WorkerArgs};
use crate::worker::ENDS_WITHIN;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/deploy")
}

fn documents(name: &str) -> Vec<Value> {
    let text = fs::read_to_string(folder().join(name)).unwrap();
    let documents = serde_yaml_ng::Deserializer::from_str(&text);
    documents
        .map(|document| Value::deserialize(document).unwrap_or_else(|e| panic!("{name}: {e}")))
        .collect()
}

fn kind(name: &str, kind: &str) -> Value {
    let found = documents(name).into_iter().find(|document| document["kind"] == kind);
    found.unwrap_or_else(|| panic!("{name} has no {kind}"))
}

fn parse(args: &Value) -> Cli {
    let args = args.as_array().unwrap().iter().map(|arg| arg.as_str().expect("a text"));
    Cli::try_parse_from(["streamherd"].into_iter().chain(args)).unwrap_or_else(|e| panic!("{e}"))
}

fn worker(args: &Value) -> WorkerArgs {
    match parse(args).command {
        Command::Worker(options) => options,
        other => panic!("{other:?}"),
    }
}

/// Names of variables that the program reads: those of its flags, and a few more.
fn variables() -> BTreeSet<String> {
    let mut commands = vec![Cli::command()];
    let mut names: BTreeSet<String> = ["POD_NAME", "RUST_LOG", "STREAMHERD_PASSWORD"]
        .map(str::to_owned)
        .into();
    while let Some(command) = commands.pop() {
        let own = command.get_arguments().filter_map(|arg| arg.get_env());
        names.extend(own.map(|name| name.to_string_lossy().into_owned()));
        commands.extend(command.get_subcommands().cloned());
    }
    names
}

fn seconds(value: &Value) -> Duration {
    Duration::from_secs(value.as_u64().expect("a number"))
}

#[test]
fn every_manifest_is_yaml_and_named_in_the_readme() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    for file in fs::read_dir(folder()).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        if name.ends_with(".yaml") {
            assert!(!documents(&name).is_empty(), "{name}");
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }
}

#[test]
fn a_deployment_asks_the_probes_where_they_are_and_leaves_time_for_the_end() {
    let deployment = kind("deployment.yaml", "Deployment");
    let pod = &deployment["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    let options = worker(&container["args"]);
    let probes = options.probes.expect("it has probes");
    assert!(probes.ip().is_unspecified(), "the kubelet comes from outside");
    let port = &container["ports"][0];
    assert_eq!(port["containerPort"], probes.port());
    for (probe, path) in [
        ("startupProbe", "/livez"),
        ("livenessProbe", "/livez"),
        ("readinessProbe", "/readyz"),
    ] {
        let probe = &container[probe];
        assert_eq!(probe["httpGet"]["path"], path);
        assert_eq!(probe["httpGet"]["port"], port["name"]);
        assert!(
            seconds(&probe["timeoutSeconds"]) < seconds(&probe["periodSeconds"]),
            "{probe}"
        );
    }
    let patience = |probe: &Value| {
        seconds(&probe["periodSeconds"]) * u32::try_from(probe["failureThreshold"].as_u64().unwrap()).unwrap()
    };
    // A machine that stands still for a while is no reason to hand over everything that is held.
    assert!(patience(&container["livenessProbe"]) >= Duration::from_secs(60));
    assert!(patience(&container["startupProbe"]) >= Duration::from_secs(30));

    let grace = seconds(&pod["terminationGracePeriodSeconds"]);
    assert!(grace > options.shutdown_deadline + ENDS_WITHIN, "{grace:?}");
    assert!(
        container["lifecycle"].is_null(),
        "there is nothing to drain before SIGTERM"
    );
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    let monitor = kind("deployment.yaml", "PodMonitor");
    for selects in [&kind("deployment.yaml", "PodDisruptionBudget"), &monitor] {
        assert_eq!(&selects["spec"]["selector"]["matchLabels"], labels);
    }
    let scraped = &monitor["spec"]["podMetricsEndpoints"][0];
    assert_eq!(
        (&scraped["port"], &scraped["path"]),
        (&port["name"], &Value::from("/metrics"))
    );
}

#[test]
fn what_scales_the_deployment_names_it() {
    let deployment = kind("deployment.yaml", "Deployment");
    for (file, of) in [("keda.yaml", "ScaledObject"), ("hpa.yaml", "HorizontalPodAutoscaler")] {
        let target = &kind(file, of)["spec"]["scaleTargetRef"]["name"];
        assert_eq!(target, &deployment["metadata"]["name"]);
    }
    assert!(
        deployment["spec"]["replicas"].is_null(),
        "or each rollout undoes what was scaled"
    );
}

#[test]
fn compose_runs_what_the_program_knows_and_lets_nobody_in_from_outside() {
    let compose = documents("compose.yaml").remove(0);
    let services = compose["services"].as_object().unwrap();
    for (name, service) in services {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert!(port.as_str().unwrap().starts_with("127.0.0.1:"), "{name}: {port}");
        }
        if service["image"] == "streamherd:latest" {
            parse(&service["command"]);
            let context = folder().join(service["build"].as_str().expect("it is built here"));
            assert!(context.join("Dockerfile").exists(), "{name}");
        }
    }
    let options = worker(&services["worker"]["command"]);
    let port = options.probes.expect("it has probes").port();
    assert_eq!(services["worker"]["ports"][0], format!("127.0.0.1:{port}:{port}"));
    let grace = crate::args::duration(services["worker"]["stop_grace_period"].as_str().unwrap()).unwrap();
    assert!(grace > options.shutdown_deadline + ENDS_WITHIN);
    let redis = services["redis"]["command"].as_array().unwrap();
    for setting in [["--appendonly", "yes"], ["--maxmemory-policy", "noeviction"]] {
        assert!(redis.windows(2).any(|two| two == setting), "{setting:?}");
    }
}

#[test]
fn the_environment_is_one_that_the_program_reads() {
    let known = variables();
    let deployment = kind("deployment.yaml", "Deployment");
    let env = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
        .as_array()
        .unwrap();
    let mut used: Vec<_> = env.iter().map(|one| one["name"].as_str().unwrap().to_owned()).collect();
    let compose = documents("compose.yaml").remove(0);
    for service in compose["services"].as_object().unwrap().values() {
        used.extend(
            service["environment"]
                .as_object()
                .into_iter()
                .flat_map(|env| env.keys().cloned()),
        );
    }
    assert!(used.len() > 6, "{used:?}");
    for name in used {
        assert!(known.contains(&name), "{name} is not among {known:?}");
    }
}
