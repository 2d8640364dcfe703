use super::*;
use crate::{config, series::Labels};
use data::Values;

#[test]
fn the_configuration_is_sound_and_of_a_million_series() {
    let options = ScaleOptions {
        series: 1_000_000,
        step: Span::seconds(30),
        ticks: 10,
    };
    let text = server::configuration(&options);
    let config = config::parse(&text, &|_| None).unwrap();
    assert_eq!(config.signals[0].max_series, 1_000_000);
}

#[test]
fn series_have_eight_labels_of_150_bytes_and_one_in_a_thousand_is_far_off() {
    let stream = Stream::new(5_000);
    let bytes = stream.label_bytes() / 5_000;
    assert!((140..=165).contains(&bytes), "{bytes}");
    let mut values = Values::default();
    let far = (0..5_000).filter(|&index| {
        let labels = Labels::new(values.of(index)).unwrap();
        assert_eq!(labels.len(), 8);
        stream.is_anomalous(&labels)
    });
    assert_eq!(far.count(), stream.anomalous());
    assert!(Stream::value(1_000, START, true) > 3.0 * Stream::value(1_000, START, false));
    assert_eq!(
        Stream::value(1_001, START, true),
        Stream::value(1_001, START, false)
    );
}
