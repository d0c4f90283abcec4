//! What holds in whatever order things happen.

use proptest::prelude::*;

use super::*;

#[derive(Debug, Clone)]
enum Step {
    Keep(u8, u8, u8),
    Loss,
    Judge(u8, u8),
    Expire(u8),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (0..3_u8, 0..3_u8, 0..3_u8).prop_map(|(name, info, answer)| Step::Keep(name, info, answer)),
        Just(Step::Loss),
        (0..20_u8, 0..4_u8).prop_map(|(number, stands)| Step::Judge(number, stands)),
        (0..90_u8).prop_map(Step::Expire),
    ];
    proptest::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn whatever_happens_the_last_info_of_a_name_is_kept_until_it_is_seen_gone_or_old(steps in steps()) {
        let max = 8;
        let mut shelf = shelf(store("0", "r"), max);
        let (mut now, mut epoch) = (0, 0);
        for (ms, step) in (1..).zip(steps) {
            now = ms.max(now);
            match step {
                Step::Keep(name, info, answer) => {
                    let answer = [new(ms), Answer::Served, Answer::Noted][usize::from(answer)];
                    let kept = kept(&shelf, &format!("n{name}"), &info.to_string(), ms, answer);
                    let digest = Arc::clone(&kept.digest);
                    let before = shelf.len();
                    let dropped = shelf.keep(0, kept);
                    let page = shelf.page(0, 0, usize::MAX, usize::MAX);
                    prop_assert_eq!(&page.last().unwrap().1.digest, &digest);
                    prop_assert!(shelf.len() <= max && (dropped == 0 || before == max));
                }
                Step::Loss => {
                    epoch += 1;
                    shelf.hear(0, &store(&epoch.to_string(), "r"), at(now));
                    prop_assert_eq!(lost(&shelf), numbers(&shelf));
                }
                Step::Judge(number, stands) => {
                    let stands = [Stands::Gone, Stands::Held, Stands::Queued, Stands::Later][usize::from(stands)];
                    let was_lost = lost(&shelf).contains(&number.into());
                    let there = numbers(&shelf).contains(&number.into());
                    shelf.judge(0, number.into(), stands, at(now));
                    // What may be lost is let go by nothing but an answer to its re-submit.
                    prop_assert!(!was_lost || numbers(&shelf).contains(&number.into()));
                    prop_assert_eq!(there && stands == Stands::Gone && !was_lost, there && !numbers(&shelf).contains(&number.into()));
                }
                Step::Expire(more) => {
                    now += u64::from(more);
                    let before = lost(&shelf);
                    shelf.expire(0, at(now));
                    prop_assert_eq!(lost(&shelf), before);
                }
            }
        }
    }
}
