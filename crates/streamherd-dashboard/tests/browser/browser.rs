//! One browser with one page.

use std::path::PathBuf;
use std::time::Duration;

use fantoccini::elements::Element;
use fantoccini::error::CmdError;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use streamherd_testkit::eventually;

use crate::devtools::Devtools;
use crate::driver::{Driver, PATIENCE};

/// A browser; it ends with the value.
#[derive(Debug)]
pub(crate) struct Browser {
    pub(crate) client: Client,
    pub(crate) devtools: Devtools,
    _driver: Driver,
}

/// What the page is seen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Screen {
    Desktop,
    Phone,
}

impl Screen {
    pub(crate) const fn size(self) -> (u32, u32) {
        match self {
            Self::Desktop => (1280, 900),
            Self::Phone => (390, 844),
        }
    }
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let driver = Driver::start().await;
        let options = json!({
            "goog:loggingPrefs": { "browser": "ALL" },
            "goog:chromeOptions": { "debuggerAddress": format!("127.0.0.1:{}", driver.browser_port) },
        });
        let Value::Object(capabilities) = options else {
            unreachable!("it is an object")
        };
        let at = format!("http://127.0.0.1:{}", driver.port);
        // A machine under load may be too slow for the first attempt.
        let client = eventually(PATIENCE, "a browser starts", || {
            let mut builder = ClientBuilder::new(HttpConnector::new());
            builder.capabilities(capabilities.clone());
            let at = at.clone();
            async move { builder.connect(&at).await.map_err(|e| eprintln!("{e:?}")).ok() }
        })
        .await;
        let session = client.session_id().await.expect("a session").expect("its id");
        let devtools = Devtools::new(driver.port, &session);
        let browser = Self {
            client,
            devtools,
            _driver: driver,
        };
        browser.on(Screen::Desktop).await;
        browser
    }

    /// Sees the page on another screen, which on a phone is touched.
    pub(crate) async fn on(&self, screen: Screen) {
        let (width, height) = screen.size();
        let phone = screen == Screen::Phone;
        self.sized(width, height, phone).await;
        let touch = json!({ "enabled": phone, "maxTouchPoints": 1 });
        self.devtools.command("Emulation.setTouchEmulationEnabled", touch).await;
    }

    async fn sized(&self, width: u32, height: u32, mobile: bool) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": mobile });
        self.devtools
            .command("Emulation.setDeviceMetricsOverride", metrics)
            .await;
    }

    /// Has the system prefer `dark` or `light`.
    pub(crate) async fn prefer(&self, scheme: &str) {
        let features = json!({ "features": [
            { "name": "prefers-color-scheme", "value": scheme },
            { "name": "prefers-reduced-motion", "value": "reduce" },
        ] });
        self.devtools.command("Emulation.setEmulatedMedia", features).await;
    }

    pub(crate) async fn open(&self, url: &str) {
        self.client.goto(url).await.expect("the page opens");
    }

    /// Changes the view as a link does: without another document.
    pub(crate) async fn view(&self, view: &str) {
        self.eval(&format!("location.hash = '#/{view}'")).await;
    }

    /// Runs a function's body in the page.
    pub(crate) async fn eval(&self, script: &str) -> Value {
        self.client
            .execute(script, Vec::new())
            .await
            .unwrap_or_else(|e| panic!("{script}: {e:?}"))
    }

    /// The words that the page shows.
    pub(crate) async fn words(&self) -> String {
        self.eval("return document.body.innerText")
            .await
            .as_str()
            .unwrap_or_default()
            .to_owned()
    }

    /// Waits until the page shows these words.
    #[track_caller]
    pub(crate) fn sees(&self, words: &str) -> impl Future<Output = ()> {
        self.sees_in("body", words)
    }

    /// Waits until an element shows these words.
    #[track_caller]
    pub(crate) fn sees_in(&self, css: &str, words: &str) -> impl Future<Output = ()> {
        let what = format!("{css} shows {words:?}");
        let script = format!(
            "return [...document.querySelectorAll({})].some((one) => one.innerText.includes({}))",
            json!(css),
            json!(words)
        );
        self.holds(what, script)
    }

    /// Waits until no element shows these words any more.
    #[track_caller]
    pub(crate) fn sees_no(&self, css: &str, words: &str) -> impl Future<Output = ()> {
        let what = format!("{css} shows no {words:?}");
        let script = format!(
            "return ![...document.querySelectorAll({})].some((one) => one.innerText.includes({}))",
            json!(css),
            json!(words)
        );
        self.holds(what, script)
    }

    /// Waits until a function in the page returns true.
    #[track_caller]
    pub(crate) fn holds(&self, what: String, script: String) -> impl Future<Output = ()> {
        let client = self.client.clone();
        let waiting = std::panic::Location::caller();
        async move {
            let end = tokio::time::Instant::now() + PATIENCE;
            loop {
                let is = client.execute(&script, Vec::new()).await;
                if matches!(is, Ok(Value::Bool(true))) {
                    return;
                }
                if tokio::time::Instant::now() > end {
                    let words = client.execute("return document.body.innerText", Vec::new()).await;
                    panic!(
                        "{waiting}: did not happen within {PATIENCE:?}: {what}\n{is:?}\n---- the page ----\n{words:?}"
                    );
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }

    /// Clicks, once the element is there and can be.
    pub(crate) async fn click(&self, css: &str) {
        let by = Locator::Css(css);
        eventually(PATIENCE, &format!("{css} can be clicked"), || async move {
            let element = self.client.find(by).await.ok()?;
            element.click().await.ok()
        })
        .await;
    }

    /// Clicks the button or link with this text within an element.
    pub(crate) async fn click_on(&self, within: &str, text: &str) {
        let path = format!("//*[self::button or self::a][normalize-space(.)={}]", json!(text));
        eventually(PATIENCE, &format!("{text:?} can be clicked"), || {
            let path = path.clone();
            async move {
                let place = self.client.find(Locator::Css(within)).await.ok()?;
                let found = place.find(Locator::XPath(&format!(".{path}"))).await.ok()?;
                found.click().await.ok()
            }
        })
        .await;
    }

    /// Types into an element, once it is there.
    pub(crate) async fn fill(&self, css: &str, text: &str) {
        let field = self.found(css).await;
        field.clear().await.expect("the field can be cleared");
        field.send_keys(text).await.expect("the field takes keys");
    }

    /// Presses a key where the focus is.
    pub(crate) async fn press(&self, key: &str) {
        let focused = self.client.active_element().await.expect("something has the focus");
        focused.send_keys(key).await.expect("it takes keys");
    }

    pub(crate) async fn found(&self, css: &str) -> Element {
        eventually(PATIENCE, &format!("there is {css}"), || async move {
            self.client.find(Locator::Css(css)).await.ok()
        })
        .await
    }

    pub(crate) async fn is_there(&self, css: &str) -> bool {
        match self.client.find(Locator::Css(css)).await {
            Ok(_) => true,
            Err(CmdError::Standard(e)) if e.error == fantoccini::error::ErrorStatus::NoSuchElement => false,
            Err(e) => panic!("{css}: {e:?}"),
        }
    }

    /// Nothing was refused by the content security policy, and no script of ours has failed.
    pub(crate) async fn said_nothing_bad(&self) {
        let log = self.devtools.log().await;
        // What a test has refused or cut off on purpose is told, too.
        let expected = |line: &&String| line.contains("Failed to load resource") || line.contains("net::ERR_");
        let bad: Vec<_> = log
            .iter()
            .filter(|line| line.contains("SEVERE") || line.contains("WARNING") || line.contains("Security Policy"))
            .filter(|line| !expected(line))
            .collect();
        assert!(bad.is_empty(), "the browser says {bad:#?}");
    }

    /// Writes a picture of the whole page.
    pub(crate) async fn picture(&self, name: &str, screen: Screen) {
        let (width, least) = screen.size();
        let height = self
            .eval("return document.documentElement.scrollHeight")
            .await
            .as_u64()
            .and_then(|height| u32::try_from(height).ok())
            .unwrap_or(least);
        self.sized(width, height.clamp(least, 6_000), screen == Screen::Phone)
            .await;
        let picture = self.client.screenshot().await.expect("a picture");
        self.on(screen).await;
        let dir = pictures();
        std::fs::create_dir_all(&dir).expect("a directory for pictures");
        std::fs::write(dir.join(format!("{name}.png")), picture).expect("a picture is written");
    }
}

/// `target/dashboard-screenshots`, where the build goes elsewhere: there.
fn pictures() -> PathBuf {
    let below_target = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    below_target
        .parent()
        .expect("it is in target/")
        .join("dashboard-screenshots")
}
