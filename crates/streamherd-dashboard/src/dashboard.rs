//! Putting a dashboard together.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use streamherd::{Admin, Client};
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::guard::{Gate, Hosts};
use crate::sample::{Sampler, SamplerOptions};

/// A read-only dashboard of a service, for requests to loopback names and addresses: [`Dashboard::builder`] with nothing
/// set.
///
/// Mount it with `nest_service("/ops/herd", …)`, or serve it as it is.
///
/// # Panics
/// Outside of a tokio runtime.
pub fn router(admin: Admin) -> Router {
    Dashboard::builder(admin).build().router()
}

/// A dashboard that is being configured.
#[derive(Debug)]
#[must_use = "a builder does nothing until it builds"]
pub struct DashboardBuilder {
    admin: Admin,
    gate: Gate,
    hosts: Hosts,
    sampler: SamplerOptions,
}

impl DashboardBuilder {
    /// Allows actions to whoever sends this as a bearer token. Default: nobody may act. Use what can't be guessed, such as
    /// `openssl rand -hex 32` prints; an empty one allows nobody.
    pub fn admin_token(mut self, token: impl Into<String>) -> Self {
        self.gate = Gate::new(token.into());
        self
    }

    /// Answers requests for these hosts, too: names without a port, `*` for any. Default: addresses, and `localhost` and
    /// names below it; any other name may be one that somebody else's page has pointed here (DNS rebinding), which has the
    /// browser hand out what it reads.
    pub fn allow_hosts<N: Into<String>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        names.into_iter().for_each(|name| self.hosts.allow(&name.into()));
        self
    }

    /// Shows the breakers of this worker, in place of how the dashboard itself gets on with the servers. The dashboard keeps
    /// the client from ending by itself; [shut it down](Client::shutdown).
    pub fn client_health(mut self, client: Client) -> Self {
        self.sampler.client = Some(client);
        self
    }

    /// How often Redis is looked at.
    pub fn sampler(mut self, mut options: SamplerOptions) -> Self {
        options.client = options.client.or(self.sampler.client);
        self.sampler = options;
        self
    }

    /// Starts to look at Redis.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn build(self) -> Dashboard {
        let sampler = Sampler::start(self.admin.clone(), self.sampler);
        Dashboard {
            state: Arc::new(api::State::new(self.admin, sampler, self.gate, self.hosts)),
        }
    }
}

/// A dashboard of a service. Cheap to clone; it looks at Redis for as long as it or one of its routers exists.
#[derive(Clone)]
pub struct Dashboard {
    pub(crate) state: Arc<api::State>,
}

impl Dashboard {
    /// Starts the configuration of a dashboard.
    pub fn builder(admin: Admin) -> DashboardBuilder {
        DashboardBuilder {
            admin,
            gate: Gate::shut(),
            hosts: Hosts::default(),
            sampler: SamplerOptions::default(),
        }
    }

    /// The page and the API. All addresses in it are relative: it may be served as it is, or mounted below a path by
    /// `nest_service`.
    pub fn router(&self) -> Router {
        api::router(&self.state)
    }

    /// What looks at Redis for it.
    #[must_use]
    pub fn sampler(&self) -> &Sampler {
        &self.state.sampler
    }

    /// Ends the streams of events, which a server that shuts down would otherwise wait for. Those that begin later end at
    /// once.
    pub fn end_events(&self) {
        self.state.end.cancel();
    }

    /// Cancelled by [`end_events`](Self::end_events).
    #[must_use]
    pub fn ended(&self) -> CancellationToken {
        self.state.end.clone()
    }
}

impl fmt::Debug for Dashboard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dashboard").finish_non_exhaustive()
    }
}
