//! How a store is reached: by its own client, through our way out.
//!
//! Promises: the store's client asks only for what [`crate::net`] lets through, whatever address its description or a
//! service account's key names; without credentials it asks as nobody, and never as the machine that the service runs on.
//! Does not: read settings from the environment.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::azure::MicrosoftAzureBuilder;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
};
use object_store::gcp::GoogleCloudStorageBuilder;
use object_store::{ClientOptions, ObjectStore, RetryConfig};
use reqwest::Client;
use url::Url;

use crate::credentials::Credentials;
use crate::error::SourceError;
use crate::net::Outward;
use crate::spec::{ObjectsSpec, Store};

/// How often a request is made again that failed for no reason of ours.
const RETRIES: usize = 3;
/// For how long.
const RETRY_TIME: Duration = Duration::from_secs(60);

/// The store of a description.
pub(super) fn open(
    spec: &ObjectsSpec,
    credentials: &Credentials,
    outward: &Outward,
) -> Result<Arc<dyn ObjectStore>, SourceError> {
    let endpoint = spec.endpoint.as_deref().map(|endpoint| checked(endpoint, credentials, outward)).transpose()?;
    let wrong = |error: object_store::Error| SourceError::invalid(super::said(&error));
    let (connector, retry) = (Connector(outward.clone()), retry());
    let store: Arc<dyn ObjectStore> = match spec.store {
        Store::S3 => {
            let mut builder = AmazonS3Builder::new()
                .with_bucket_name(&spec.bucket)
                .with_region(spec.region.as_deref().unwrap_or("us-east-1"))
                .with_skip_signature(credentials.is_empty())
                .with_allow_http(true)
                .with_retry(retry)
                .with_http_connector(connector);
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let (Some(id), Some(secret)) = (credentials.get("access_key_id"), credentials.get("secret_access_key")) {
                builder = builder.with_access_key_id(id).with_secret_access_key(secret);
            }
            if let Some(token) = credentials.get("session_token") {
                builder = builder.with_token(token);
            }
            Arc::new(builder.build().map_err(wrong)?)
        }
        Store::Gcs => {
            let mut builder = GoogleCloudStorageBuilder::new()
                .with_bucket_name(&spec.bucket)
                .with_skip_signature(credentials.is_empty())
                .with_retry(retry)
                .with_http_connector(connector);
            if let Some(key) = credentials.get("service_account_key") {
                builder = builder.with_service_account_key(key);
            }
            Arc::new(builder.build().map_err(wrong)?)
        }
        Store::Azure => {
            let mut builder = MicrosoftAzureBuilder::new()
                .with_account(spec.account.as_deref().unwrap_or_default())
                .with_container_name(&spec.bucket)
                .with_skip_signature(credentials.is_empty())
                .with_allow_http(true)
                .with_retry(retry)
                .with_http_connector(connector);
            if let Some(endpoint) = endpoint {
                builder = builder.with_endpoint(endpoint);
            }
            if let Some(key) = credentials.get("access_key") {
                builder = builder.with_access_key(key);
            }
            if let Some(token) = credentials.get("sas_token") {
                let pairs = url::form_urlencoded::parse(token.trim_start_matches('?').as_bytes());
                let pairs: Vec<(String, String)> = pairs.map(|(name, value)| (name.into(), value.into())).collect();
                builder = builder.with_sas_authorization(pairs);
            }
            Arc::new(builder.build().map_err(wrong)?)
        }
    };
    Ok(store)
}

/// An endpoint that may be asked. In clear only where the operator names the host, since a token would be seen on its way.
fn checked(endpoint: &str, credentials: &Credentials, outward: &Outward) -> Result<String, SourceError> {
    let url = Url::parse(endpoint).map_err(|error| SourceError::invalid(format!("endpoint: {error}")))?;
    outward.check(&url)?;
    if url.scheme() == "http" && !credentials.is_empty() && !outward.is_named(&url) {
        return Err(SourceError::invalid("credentials are not sent in clear; write the endpoint with https://"));
    }
    Ok(endpoint.trim_end_matches('/').to_owned())
}

fn retry() -> RetryConfig {
    RetryConfig { max_retries: RETRIES, retry_timeout: RETRY_TIME, ..RetryConfig::default() }
}

/// Gives the store's client our way out in place of its own.
#[derive(Debug)]
struct Connector(Outward);

impl HttpConnector for Connector {
    fn connect(&self, _options: &ClientOptions) -> object_store::Result<HttpClient> {
        let client = self.0.plain_client();
        let client = client.map_err(|error| object_store::Error::Generic { store: "http", source: Box::new(error) })?;
        Ok(HttpClient::new(Checked { client, outward: self.0.clone() }))
    }
}

/// A client that checks each address before it asks.
struct Checked {
    client: Client,
    outward: Outward,
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checked")
    }
}

impl HttpService for Checked {
    fn call<'life0, 'async_trait>(
        &'life0 self,
        request: HttpRequest,
    ) -> Pin<Box<dyn Future<Output = Result<HttpResponse, HttpError>> + Send + 'async_trait>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let refused = |error: SourceError| HttpError::new(HttpErrorKind::Unknown, error);
        let checked = Url::parse(&request.uri().to_string())
            .map_err(|_| refused(SourceError::invalid("the store is asked at an address that is none")))
            .and_then(|url| self.outward.check(&url).map_err(refused));
        match checked {
            Ok(()) => HttpService::call(&self.client, request),
            Err(error) => Box::pin(std::future::ready(Err(error))),
        }
    }
}
