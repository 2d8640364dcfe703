//! The checks of a scraped source's settings: all problems at once, without IO.

use super::{settings::Settings, target::refuse_address};
use crate::series::{Span, relabel::RelabelSettings};

/// Scrapes more often than this only load the target.
const LEAST_INTERVAL: Span = Span::millis(100);
/// Series that are seen less often than this are taken for gone in between.
const LONGEST_INTERVAL: Span = Span::minutes(5);
/// More scrapes at one time than this run out of file descriptors.
const MOST_CONCURRENCY: usize = 10_000;

impl Settings {
    /// All problems, each with the path of the key and what to change. No IO.
    pub fn validate(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        self.check_discovery(&mut found);
        self.check_times(&mut found);
        let client = self.client().validate();
        found.extend(client.into_iter().filter(|(path, _)| path != "url"));
        check_steps("relabel_configs", &self.relabel_configs, &mut found);
        check_steps(
            "metric_relabel_configs",
            &self.metric_relabel_configs,
            &mut found,
        );
        if !(1..=MOST_CONCURRENCY).contains(&self.concurrency) {
            let text = format!("must be 1 to {MOST_CONCURRENCY}");
            found.push(("concurrency".to_owned(), text));
        }
        found
    }

    fn check_discovery(&self, found: &mut Vec<(String, String)>) {
        let configs = self.static_configs.len()
            + self.file_sd_configs.len()
            + self.http_sd_configs.len()
            + self.kubernetes_sd_configs.len();
        if configs == 0 {
            let text = "there is nothing to scrape; add one such as {targets: [checkout:8080]}, or file_sd_configs, http_sd_configs or kubernetes_sd_configs";
            found.push(("static_configs".to_owned(), text.to_owned()));
        }
        for (index, group) in self.static_configs.iter().enumerate() {
            let at = format!("static_configs[{index}]");
            for (position, target) in group.targets.iter().enumerate() {
                if let Some(problem) = refuse_address(target) {
                    found.push((format!("{at}.targets[{position}]"), problem));
                }
            }
            if group.labels.keys().any(String::is_empty) {
                let text = "the name of a label is empty".to_owned();
                found.push((format!("{at}.labels"), text));
            }
        }
        let files = self
            .file_sd_configs
            .iter()
            .map(|files| files.validate())
            .enumerate();
        let servers = self
            .http_sd_configs
            .iter()
            .map(|server| server.validate())
            .enumerate();
        let clusters = self
            .kubernetes_sd_configs
            .iter()
            .map(|cluster| cluster.validate())
            .enumerate();
        let all = files
            .map(|(index, problems)| (format!("file_sd_configs[{index}]"), problems))
            .chain(servers.map(|(index, problems)| (format!("http_sd_configs[{index}]"), problems)))
            .chain(
                clusters
                    .map(|(index, problems)| (format!("kubernetes_sd_configs[{index}]"), problems)),
            );
        for (at, problems) in all {
            found.extend(
                problems
                    .into_iter()
                    .map(|(path, text)| (format!("{at}.{path}"), text)),
            );
        }
    }

    fn check_times(&self, found: &mut Vec<(String, String)>) {
        let interval = self.scrape_interval;
        if interval < LEAST_INTERVAL || interval > LONGEST_INTERVAL {
            let text = format!(
                "{interval} is not allowed; allowed: {LEAST_INTERVAL} to {LONGEST_INTERVAL}"
            );
            found.push(("scrape_interval".to_owned(), text));
        }
        let Some(timeout) = self.scrape_timeout else {
            return;
        };
        if timeout.as_millis() <= 0 {
            found.push((
                "scrape_timeout".to_owned(),
                "must be longer than 0s".to_owned(),
            ));
        } else if timeout > interval {
            let text = format!("{timeout} is longer than scrape_interval, which is {interval}");
            found.push(("scrape_timeout".to_owned(), text));
        }
    }
}

fn check_steps(key: &str, steps: &[RelabelSettings], found: &mut Vec<(String, String)>) {
    for (index, step) in steps.iter().enumerate() {
        let problems = step.validate().into_iter();
        found.extend(problems.map(|(path, text)| (format!("{key}[{index}].{path}"), text)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::scrape::settings::ByteSize;
    use std::path::Path;

    fn read(yaml: &str) -> Settings {
        serde_yaml::from_str(yaml).unwrap()
    }

    #[test]
    fn a_job_of_prometheus_is_read_as_it_stands() {
        let settings = read(
            "static_configs: [{targets: ['a:1', 'b:2'], labels: {env: x}}]\nscrape_interval: 5s\nscheme: https\nparams: {module: [http_2xx]}\nbody_size_limit: 10MB\nrelabel_configs: [{source_labels: [__address__], target_label: instance}]\nfallback_scrape_protocol: PrometheusText0.0.4\n",
        );
        assert_eq!(settings.validate(), []);
        assert_eq!(settings.body_size_limit, ByteSize(10 << 20));
        assert_eq!(settings.timeout(), Span::seconds(5));
        assert_eq!(
            read("body_size_limit: 0").body_size_limit.limit(),
            usize::MAX
        );
        assert_eq!(read("body_size_limit: 1KiB").body_size_limit.limit(), 1_024);
        assert_eq!(read("scrape_interval: 1m").timeout(), Span::seconds(10));
    }

    #[test]
    fn every_problem_is_reported_at_once_with_its_path() {
        let settings = read(
            "static_configs: [{targets: ['http://a:1/metrics', 'a:1', ''], labels: {'': x}}]\nfile_sd_configs: [{files: [targets.txt], refresh_interval: 0s}]\nhttp_sd_configs: [{url: 'ftp://x'}]\nscrape_interval: 10s\nscrape_timeout: 20s\nbearer_token: a\nbearer_token_file: b\nrelabel_configs: [{action: drop, regex: '('}]\nmetric_relabel_configs: [{target_label: a}, {}]\nconcurrency: 0\n",
        );
        let found = settings.validate();
        let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
        let expected = [
            "static_configs[0].targets[0]",
            "static_configs[0].targets[2]",
            "static_configs[0].labels",
            "file_sd_configs[0].files[0]",
            "file_sd_configs[0].refresh_interval",
            "http_sd_configs[0].url",
            "scrape_timeout",
            "bearer_token_file",
            "relabel_configs[0].regex",
            "metric_relabel_configs[1].target_label",
            "concurrency",
        ];
        assert_eq!(paths, expected, "{found:#?}");
        let found = read("{}").validate();
        assert!(found[0].1.contains("nothing to scrape"), "{found:?}");
        let found =
            read("{scrape_interval: 1ms, scrape_timeout: 0s, static_configs: [{}]}").validate();
        assert_eq!(found.len(), 2, "{found:?}");
    }

    #[test]
    fn sizes_have_units() {
        let error = serde_yaml::from_str::<Settings>("body_size_limit: 10XB").unwrap_err();
        assert!(error.to_string().contains("10MB"), "{error}");
    }

    #[test]
    fn relative_files_are_beside_the_configuration_file() {
        let mut settings = read(
            "bearer_token_file: token\nfile_sd_configs: [{files: ['a/*.json', /b.yml]}]\nhttp_sd_configs: [{url: 'http://x', tls_config: {ca_file: ca}}]\nkubernetes_sd_configs: [{role: pod, kubeconfig_file: config}]\n",
        );
        settings.set_directory(Path::new("/etc/f"));
        let files: Vec<_> = settings.files();
        let expected = [
            ("bearer_token_file", "/etc/f/token"),
            ("http_sd_configs[0].tls_config.ca_file", "/etc/f/ca"),
            ("kubernetes_sd_configs[0].kubeconfig_file", "/etc/f/config"),
        ];
        assert_eq!(
            files,
            expected.map(|(key, file)| (key.to_owned(), file.into()))
        );
        assert_eq!(
            settings.file_sd_configs[0].files,
            [Path::new("/etc/f/a/*.json"), Path::new("/b.yml")]
        );
    }
}
