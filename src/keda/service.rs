//! The five calls.

use super::{
    protocol::{
        GetMetricSpecResponse, GetMetricsRequest, GetMetricsResponse, IsActiveResponse, MetricSpec,
        MetricValue, ScaledObjectRef, external_scaler_server::ExternalScaler,
    },
    server::State,
    trigger::Trigger,
};
use crate::engine::scaling::{Advice, Silence};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::sleep,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::{Code, Request, Response, Status};

/// What was told once is looked at again at least so often: advice may also end by getting too old.
const LOOK_AGAIN: Duration = Duration::from_secs(15);
/// Messages that wait for a reader; one that is not read holds up no other.
const WAITING: usize = 4;

/// The service.
#[derive(Debug, Clone)]
pub(super) struct Scaler {
    pub(super) state: Arc<State>,
    /// Ends streams.
    pub(super) stop: CancellationToken,
    /// Waits for what feeds streams.
    pub(super) tasks: TaskTracker,
    /// Room for streams.
    pub(super) room: Arc<Semaphore>,
}

impl Scaler {
    fn trigger(&self, object: &ScaledObjectRef) -> Result<Trigger, Status> {
        let trigger = Trigger::of(object).map_err(Status::invalid_argument)?;
        let known = self.state.served.catalogue.knows(&trigger.workload);
        known.map_err(|silence| status(&silence))?;
        Ok(trigger)
    }

    fn advice(&self, trigger: &Trigger) -> Result<Advice, Status> {
        let now = self.state.served.clock.now();
        let advice = self.state.served.catalogue.advice(now, &trigger.workload);
        advice.map_err(|silence| status(&silence))
    }

    fn is_active(&self, object: &ScaledObjectRef) -> Result<IsActiveResponse, Status> {
        let trigger = self.trigger(object)?;
        let result = self.advice(&trigger)?.is_active(trigger.activation);
        Ok(IsActiveResponse { result })
    }

    fn metrics(&self, request: GetMetricsRequest) -> Result<GetMetricsResponse, Status> {
        let object = request.scaled_object_ref;
        let object =
            object.ok_or_else(|| Status::invalid_argument("scaledObjectRef is missing"))?;
        let trigger = self.trigger(&object)?;
        let metric = trigger.metric();
        if request.metric_name != metric {
            let asked = request.metric_name;
            let text =
                format!("there is no metric {asked:?}; with these metadata it is {metric:?}");
            return Err(Status::invalid_argument(text));
        }
        let advice = self.advice(&trigger)?;
        Ok(GetMetricsResponse {
            // One and no more: they would be added up.
            metric_values: vec![MetricValue {
                metric_name: metric,
                metric_value: whole(advice.value(trigger.target.whole())),
                metric_value_float: advice.value(trigger.target),
            }],
        })
    }

    fn spec(&self, object: &ScaledObjectRef) -> Result<GetMetricSpecResponse, Status> {
        let trigger = self.trigger(object)?;
        Ok(spec(&trigger))
    }

    fn place(&self) -> Result<OwnedSemaphorePermit, Status> {
        let place = Arc::clone(&self.room).try_acquire_owned();
        place.map_err(|_| {
            Status::resource_exhausted("too many streams are open; use external, which polls")
        })
    }

    fn counted<T>(&self, call: &'static str, answer: Result<T, Status>) -> Result<T, Status> {
        let problem = answer.as_ref().err();
        let code = problem.map_or(Code::Ok, Status::code);
        self.state
            .events
            .answered(call, code, problem.map(Status::message));
        answer
    }

    /// Tells of every change of whether the workload must be awake, the first at once.
    async fn tell_activity(
        self,
        trigger: Trigger,
        told: mpsc::Sender<Result<IsActiveResponse, Status>>,
    ) {
        let mut decided = self.state.served.catalogue.follow_scaling();
        let mut last = None;
        loop {
            decided.mark_unchanged();
            let active = match self.advice(&trigger) {
                Ok(advice) => Some(advice.is_active(trigger.activation)),
                // It was known when the stream began: the configuration is another one.
                Err(status) if status.code() == Code::NotFound => {
                    drop(told.send(Err(status)).await);
                    return;
                }
                // Not known is neither awake nor asleep.
                Err(_) => None,
            };
            if let Some(result) = active.filter(|_| active != last)
                && told.send(Ok(IsActiveResponse { result })).await.is_err()
            {
                return;
            }
            last = active;
            tokio::select! {
                () = told.closed() => return,
                () = self.stop.cancelled() => {
                    drop(told.send(Err(stopping())).await);
                    return;
                }
                changed = decided.changed() => if changed.is_err() { return },
                () = sleep(LOOK_AGAIN) => {}
            }
        }
    }
}

fn spec(trigger: &Trigger) -> GetMetricSpecResponse {
    GetMetricSpecResponse {
        metric_specs: vec![MetricSpec {
            metric_name: trigger.metric(),
            // Never 0: the autoscaler divides by it.
            target_size: whole(trigger.target.get()),
            target_size_float: trigger.target.get(),
        }],
    }
}

/// The next whole number.
fn whole(value: f64) -> i64 {
    // A cast saturates.
    (value - 1e-9).ceil() as i64
}

/// What the caller is told. `UNAVAILABLE` is what comes and goes, the rest is for a person to change.
fn status(silence: &Silence) -> Status {
    let code = match silence {
        Silence::Stranger(..) => Code::NotFound,
        Silence::Off(_) => Code::FailedPrecondition,
        Silence::Undecided | Silence::Unknown(..) => Code::Unavailable,
    };
    Status::new(code, silence.to_string())
}

fn stopping() -> Status {
    Status::unavailable(
        "this connection ends, as the program stops or has other certificates; connect again",
    )
}

#[tonic::async_trait]
impl ExternalScaler for Scaler {
    type StreamIsActiveStream = ReceiverStream<Result<IsActiveResponse, Status>>;
    type StreamMetricSpecStream = ReceiverStream<Result<GetMetricSpecResponse, Status>>;

    async fn is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<IsActiveResponse>, Status> {
        let answer = Self::is_active(self, request.get_ref());
        self.counted("IsActive", answer).map(Response::new)
    }

    async fn stream_is_active(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamIsActiveStream>, Status> {
        let begun = self.trigger(request.get_ref());
        let begun = begun.and_then(|trigger| Ok((trigger, self.place()?)));
        let (trigger, place) = self.counted("StreamIsActive", begun)?;
        let (told, stream) = mpsc::channel(WAITING);
        let telling = self.clone().tell_activity(trigger, told);
        drop(self.tasks.spawn(async move {
            telling.await;
            drop(place);
        }));
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn get_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<GetMetricSpecResponse>, Status> {
        let answer = self.spec(request.get_ref());
        self.counted("GetMetricSpec", answer).map(Response::new)
    }

    async fn get_metrics(
        &self,
        request: Request<GetMetricsRequest>,
    ) -> Result<Response<GetMetricsResponse>, Status> {
        let answer = self.metrics(request.into_inner());
        self.counted("GetMetrics", answer).map(Response::new)
    }

    async fn stream_metric_spec(
        &self,
        request: Request<ScaledObjectRef>,
    ) -> Result<Response<Self::StreamMetricSpecStream>, Status> {
        let first = self.spec(request.get_ref());
        let first = first.and_then(|first| Ok((first, self.place()?)));
        let (first, place) = self.counted("StreamMetricSpec", first)?;
        let (told, stream) = mpsc::channel(WAITING);
        let stop = self.stop.clone();
        drop(self.tasks.spawn(async move {
            // The metadata alone make it what it is, so it never changes.
            drop(told.send(Ok(first)).await);
            tokio::select! {
                () = told.closed() => {}
                () = stop.cancelled() => drop(told.send(Err(stopping())).await),
            }
            drop(place);
        }));
        Ok(Response::new(ReceiverStream::new(stream)))
    }
}
