//! What holds for each policy, whatever the endpoints.

use proptest::prelude::*;
use strife_policy::{Explanation, POLICIES, PickInfo, by_spec};

use super::{NOW, context, endpoints, picks};

#[test]
fn no_endpoint_no_pick_and_any_number_of_them_is_served() {
    for kind in POLICIES {
        let policy = by_spec(kind.name).unwrap();
        let nobody = policy.picker(endpoints(0), NOW);
        let info = PickInfo { hash: Some(7), avoid: &[] };
        assert_eq!(nobody.pick(info, &mut context(1)), None, "{}", kind.name);
        for count in [1, 2, 10_000] {
            let picker = policy.picker(endpoints(count), NOW);
            let chosen = picks(&*picker, PickInfo::default(), 1000);
            assert!(chosen.iter().all(|index| *index < count), "{}", kind.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// Where the call was already it goes again only if it was everywhere.
    #[test]
    fn what_is_to_be_avoided_is(
        count in 1_usize..20,
        avoid in prop::collection::btree_set(0_usize..20, 1..20),
        hash: Option<u64>,
    ) {
        let avoid = Vec::from_iter(avoid);
        for kind in POLICIES {
            let picker = by_spec(kind.name).unwrap().picker(endpoints(count), NOW);
            let chosen = picks(&*picker, PickInfo { hash, avoid: &avoid }, 50);
            let all_avoided = (0..count).all(|index| avoid.contains(&index));
            prop_assert!(chosen.iter().all(|index| *index < count));
            prop_assert!(
                all_avoided || chosen.iter().all(|index| !avoid.contains(index)),
                "{} chose {chosen:?}", kind.name
            );
        }
    }

    /// To explain a pick is to make it.
    #[test]
    fn an_explained_pick_is_the_pick(count in 1_usize..20, seed: u64, hash: Option<u64>) {
        for kind in POLICIES {
            let info = PickInfo { hash, avoid: &[0] };
            let pickers = [(); 2].map(|()| by_spec(kind.name).unwrap().picker(endpoints(count), NOW));
            let mut explanation = Explanation::default();
            let explained = pickers[0].explain(info, &mut context(seed), &mut explanation).unwrap();
            prop_assert_eq!(pickers[1].pick(info, &mut context(seed)), Some(explained));
            let seen = explanation.candidates.iter().find(|one| one.index == explained.index);
            prop_assert!(seen.is_some(), "{}: {explanation:?}", kind.name);
        }
    }
}
