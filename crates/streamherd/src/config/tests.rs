use proptest::prelude::*;

use super::*;

fn check(change: impl FnOnce(&mut Raw)) -> Result<Settings, SettingError> {
    let mut raw = Raw::new("orders".to_owned());
    change(&mut raw);
    Settings::check(raw, || "host".to_owned())
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

#[test]
fn the_defaults_agree_with_each_other() {
    let settings = check(|_| ()).unwrap();
    assert_eq!(settings.heartbeat, ms(2_000));
    assert_eq!(settings.margin, ms(500));
    assert_eq!(settings.lease_timeout, ms(1_000));
    assert_eq!(settings.min_idle, ms(6_500));
    assert_eq!(settings.claim_idle, ms(5_900));
    assert_eq!(settings.consumer, "host");
}

#[test]
fn an_error_names_the_setting_the_value_the_rule_and_a_value_that_would_do() {
    let cases: Vec<(&str, SettingError)> = vec![
        ("service", check(|r| r.service = "a b".into()).unwrap_err()),
        ("consumer", check(|r| r.consumer = Some(String::new())).unwrap_err()),
        ("lock_ttl", check(|r| r.lock_ttl = ms(10)).unwrap_err()),
        ("heartbeat", check(|r| r.heartbeat = Some(ms(2_001))).unwrap_err()),
        (
            "recovery.min_idle",
            check(|r| r.recovery.min_idle = Some(ms(6_200))).unwrap_err(),
        ),
        (
            "recovery.scan_interval",
            check(|r| r.recovery.scan_interval = ms(1)).unwrap_err(),
        ),
        (
            "recovery.sweep_interval",
            check(|r| r.recovery.sweep_interval = ms(1)).unwrap_err(),
        ),
        (
            "recovery.reap_after",
            check(|r| r.recovery.reap_after = ms(99)).unwrap_err(),
        ),
        ("recovery.jitter", check(|r| r.recovery.jitter = 0.9).unwrap_err()),
        ("recovery.jitter", check(|r| r.recovery.jitter = f64::NAN).unwrap_err()),
        ("recovery.batch", check(|r| r.recovery.batch = 0).unwrap_err()),
        ("max_in_flight", check(|r| r.max_in_flight = 0).unwrap_err()),
        ("read_batch", check(|r| r.read_batch = 0).unwrap_err()),
        ("read_block", check(|r| r.read_block = Duration::ZERO).unwrap_err()),
        (
            "command_timeout",
            check(|r| r.command_timeout = Duration::ZERO).unwrap_err(),
        ),
        ("partitions", check(|r| r.partitions = Some(0)).unwrap_err()),
        ("partitions", check(|r| r.partitions = Some(257)).unwrap_err()),
        ("reconnect", check(|r| r.reconnect = (ms(500), ms(100))).unwrap_err()),
        ("health_interval", check(|r| r.health_interval = ms(1)).unwrap_err()),
    ];
    for (setting, error) in cases {
        assert_eq!(error.setting, setting);
        let text = error.to_string();
        for part in [setting, &error.value, &error.rule, &error.suggestion] {
            assert!(!part.is_empty() && text.contains(part), "{text} lacks {part:?}");
        }
    }
}

#[test]
fn zero_turns_off_what_may_be_turned_off() {
    check(|r| {
        r.recovery.scan_interval = Duration::ZERO;
        r.health_interval = Duration::ZERO;
        r.recovery.max_failures = 0;
        r.recovery.max_abandonments = 0;
        r.recovery.dlq_max_len = 0;
        r.recovery.forgive_after = Duration::ZERO;
        r.recovery.sweep_interval = Duration::ZERO;
    })
    .unwrap();
}

proptest! {
    #[test]
    fn what_passes_leaves_room_for_two_lost_answers(ttl in 0_u64..100_000, beat in 0_u64..40_000, timeout in 0_u64..5_000) {
        if let Ok(s) = check(|r| {
            r.lock_ttl = ms(ttl);
            r.heartbeat = Some(ms(beat));
            r.command_timeout = ms(timeout);
        }) {
            prop_assert!(s.heartbeat + 2 * s.lease_timeout + s.margin <= s.lock_ttl);
            prop_assert!(s.heartbeat * 3 <= s.lock_ttl + ms(1));
            prop_assert!(s.reconnect.1 <= s.lock_ttl / 6);
            prop_assert!(s.min_idle >= s.lock_ttl + ms(250));
        }
    }

    #[test]
    fn the_suggested_ttl_passes(ttl in 0_u64..100_000_000) {
        if check(|r| r.lock_ttl = ms(ttl)).is_err() {
            let mended = if ms(ttl) < MIN_LOCK_TTL { MIN_LOCK_TTL } else { MAX_LOCK_TTL };
            prop_assert!(check(|r| r.lock_ttl = mended).is_ok());
        }
    }
}
