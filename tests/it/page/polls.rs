//! What a page does between two answers that come at any time, on a machine of any speed.

use super::{Browser, json};

/// A signal whose series were asked for while it still read its history is asked again when it has.
pub(super) fn it_asks_again_for_what_was_not_ready(browser: &mut Browser) {
    let wanted = browser.evaluate(
        "(async () => {
            const real = ask;
            globalThis.ask = async () => ({ series: [], groups: [], drift: null });
            const section = new Section('out_of_sight');
            const wanted = [];
            const stands = [['backfilling', 'reading'], ['backfilling', 'reading'], ['running', null], ['running', null], ['running', 'too old'], ['running', null]];
            for (const [phase, silent_because] of stands) {
                section.update({ kind: 'signal', series: 0, active: 0, step_ms: 60000, phase, silent_because });
                wanted.push(section.wanted());
                await section.refresh();
            }
            section.remove();
            globalThis.ask = real;
            return wanted;
        })()",
    );
    assert_eq!(wanted, json!([true, false, true, false, true, true]));
}

/// The list of what is anomalous changes while the keyboard is in it.
pub(super) fn it_leaves_the_focus_where_it_is(browser: &mut Browser) {
    let told = browser.evaluate(
        "(() => {
            const list = document.getElementById('attention');
            const [some] = state.cards.values();
            const real = some.series;
            some.series = { ...real, active: true, direction: 1 };
            showAttention();
            const link = list.querySelector('a');
            const card = state.cards.get(link.getAttribute('href').slice(1));
            const [before, shape] = [card.series, () => list.querySelector('a .shape').textContent];
            const told = [shape()];
            link.focus();
            card.series = { ...before, direction: before.direction < 0 ? 1 : -1 };
            showAttention();
            const kept = document.activeElement === link && shape() === told[0];
            link.blur();
            showAttention();
            told.push(shape());
            card.series = before;
            some.series = real;
            showAttention();
            return { kept, told };
        })()",
    );
    assert_eq!(told["kept"], json!(true), "{told}");
    assert_ne!(told["told"][0], told["told"][1], "what is new came after");
}

/// A person chooses a workload again while the page asks for what is new of it.
pub(super) fn points_are_not_drawn_twice(browser: &mut Browser) {
    let told = browser.evaluate(
        "(async () => {
            const held = picture.points.length;
            picture.points = picture.points.slice(0, -3);
            const again = () => picture.refresh(picture.name, picture.hasLog);
            await Promise.all([again(), again()]);
            const times = picture.points.map(([at]) => at);
            return { held, times: times.length, rising: times.every((at, index) => index === 0 || at > times[index - 1]) };
        })()",
    );
    assert_eq!(told["rising"], json!(true), "{told}");
    // Where a new one came meanwhile, the oldest may have gone.
    let count = |key: &str| told[key].as_i64().unwrap();
    assert!(
        (-1..=2).contains(&(count("times") - count("held"))),
        "{told}"
    );
}
