//! The pace of the demo: cluster time against the reader's time.

use std::{sync::Arc, time::Duration};

use tokio::time::{MissedTickBehavior, interval};

use super::{Demo, Desk};
use crate::simulate::TICK;

/// Time between two pictures: a page that asks four times a second always finds something new.
const FRAME: Duration = Duration::from_millis(50);

/// Plays the day at the desk's pace. On a machine that cannot follow it gets slower, it never jumps.
pub async fn play(mut demo: Demo) -> Arc<Desk> {
    let desk = demo.desk();
    let mut frames = interval(FRAME);
    frames.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut owed = 0.0;
    loop {
        frames.tick().await;
        owed += desk.pace() * FRAME.as_secs_f64();
        while owed >= TICK.get() {
            owed -= TICK.get();
            if !demo.step() {
                return desk;
            }
        }
    }
}
