use std::fs;

use super::*;

const BASE: &str = "version: v1\nlisteners: [{name: public, address: \"127.0.0.1:8080\"}]\n";

fn upstream(name: &str, port: u16) -> String {
    format!(
        "version: v1\nupstreams: [{{name: {name}, endpoints: [{{address: \"127.0.0.1:{port}\"}}]}}]\n\
         routes: [{{name: {name}, match: {{path: {{prefix: /{name}}}}}, backends: [{{upstream: {name}}}]}}]\n"
    )
}

struct Directory(tempfile::TempDir);

impl Directory {
    fn new() -> Self {
        let directory = Self(tempfile::tempdir().unwrap());
        directory.write("base.yaml", BASE);
        directory.write("orders.yaml", &upstream("orders", 7003));
        directory.write("users.yml", &upstream("users", 7001));
        directory
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.0.path().join(name), text).unwrap();
    }

    fn started(&self) -> Loader {
        let mut loader = Loader::new(self.0.path());
        let outcome = loader.load();
        assert!(outcome.result.is_ok(), "{outcome:?}");
        loader.commit();
        loader
    }
}

fn endpoints(outcome: &Outcome) -> Vec<String> {
    let config = &outcome.result.as_ref().unwrap().config;
    let all = config.upstreams.iter().flat_map(|one| &one.endpoints);
    all.map(|one| format!("{:?}", one.target)).collect()
}

fn stale(outcome: &Outcome) -> Vec<&str> {
    outcome.stale.iter().map(|one| one.file.file_name().unwrap().to_str().unwrap()).collect()
}

#[test]
fn files_are_joined_in_the_order_of_their_names() {
    let directory = Directory::new();
    directory.write("notes.txt", "no yaml");
    directory.write(".hidden.yaml", "no yaml: [");
    let outcome = directory.started().load();
    assert_eq!(endpoints(&outcome), ["Address(127.0.0.1:7003)", "Address(127.0.0.1:7001)"]);
}

#[test]
fn a_broken_file_keeps_its_last_good_version_while_the_others_load() {
    let directory = Directory::new();
    let mut loader = directory.started();
    for broken in [
        "routes: [",
        "version: v1\nroute: []\n",
        "version: v1\nupstreams: 5\n",
        // Found only when lowering, and still the file's own.
        "version: v1\nupstreams: [{name: orders, endpoints: [{address: \"127.0.0.1:1\", dns: a}]}]\n",
    ] {
        directory.write("orders.yaml", broken);
        directory.write("users.yml", &upstream("users", 7011));
        let outcome = loader.load();
        assert_eq!(stale(&outcome), ["orders.yaml"], "{broken}");
        assert_eq!(endpoints(&outcome), ["Address(127.0.0.1:7003)", "Address(127.0.0.1:7011)"]);
        let stale = &outcome.stale[0];
        assert!(stale.report.render(&stale.sources, false).contains("orders.yaml:"));
        loader.commit();
    }
    directory.write("orders.yaml", &upstream("orders", 7013));
    let outcome = loader.load();
    assert!(outcome.stale.is_empty());
    assert_eq!(endpoints(&outcome), ["Address(127.0.0.1:7013)", "Address(127.0.0.1:7011)"]);
}

#[test]
fn an_error_across_files_keeps_everything() {
    let directory = Directory::new();
    let mut loader = directory.started();
    // Its route is still wanted by nobody, but `orders` now has two upstreams.
    directory.write("users.yml", &upstream("orders", 7001));
    assert!(loader.load().result.is_err());
    directory
        .write("users.yml", "version: v1\nroutes: [{name: u, backends: [{upstream: gone}]}]\n");
    let outcome = loader.load();
    let failed = outcome.result.unwrap_err();
    assert!(failed.report.render(&failed.sources, false).contains("no upstream `gone`"));
    assert!(outcome.stale.is_empty());
    fs::remove_file(directory.0.path().join("base.yaml")).unwrap();
    assert!(loader.load().result.is_err());
}

#[test]
fn a_new_file_that_is_broken_is_left_out() {
    let directory = Directory::new();
    let mut loader = directory.started();
    directory.write("products.yaml", "routes: [");
    let outcome = loader.load();
    assert_eq!(stale(&outcome), ["products.yaml"]);
    assert_eq!(endpoints(&outcome).len(), 2);
}

#[test]
fn a_file_that_is_gone_goes() {
    let directory = Directory::new();
    let mut loader = directory.started();
    fs::remove_file(directory.0.path().join("orders.yaml")).unwrap();
    let outcome = loader.load();
    assert_eq!(endpoints(&outcome), ["Address(127.0.0.1:7001)"]);
}

#[test]
fn at_start_any_error_refuses() {
    let directory = Directory::new();
    directory.write("orders.yaml", "routes: [");
    let mut loader = Loader::new(directory.0.path());
    let outcome = loader.load();
    assert!(outcome.result.is_err() && outcome.stale.is_empty());
    // Nothing was good, so there is nothing to commit and nothing to fall back to.
    loader.commit();
    let outcome = loader.load();
    assert!(outcome.result.is_err() && outcome.stale.is_empty());
}

#[test]
fn what_was_not_committed_is_not_good() {
    let directory = Directory::new();
    let mut loader = directory.started();
    directory.write("orders.yaml", &upstream("orders", 7013));
    assert!(loader.load().result.is_ok());
    directory.write("orders.yaml", "routes: [");
    let outcome = loader.load();
    assert_eq!(endpoints(&outcome), ["Address(127.0.0.1:7003)", "Address(127.0.0.1:7001)"]);
}

#[test]
fn a_single_file_loads_whole_or_not_at_all() {
    let directory = Directory::new();
    let file = directory.0.path().join("all.yaml");
    fs::write(&file, BASE).unwrap();
    let mut loader = Loader::new(&file);
    assert!(loader.load().result.is_ok());
    loader.commit();
    fs::write(&file, "version: v2\n").unwrap();
    assert!(loader.load().result.is_err());
    fs::write(&file, BASE).unwrap();
    assert!(loader.load().result.is_ok());
}

#[test]
fn paths_that_are_no_configuration_are_reported() {
    let directory = tempfile::tempdir().unwrap();
    let check = |path: &Path, expected: &str| {
        let failed = Loader::new(path).load().result.unwrap_err();
        let text = failed.report.render(&failed.sources, false);
        assert!(text.contains(expected), "{text}");
    };
    check(directory.path(), "no `*.yaml` or `*.yml`");
    check(&directory.path().join("gone.yaml"), "cannot read");
    let binary = directory.path().join("binary.yaml");
    fs::write(&binary, [b'a', 0xff]).unwrap();
    check(&binary, "not UTF-8 at byte 1");
    check(Path::new("/dev/zero"), "not a regular file");
}
