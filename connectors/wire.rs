//! A WebSocket, over TLS where the URL says so. It is opened directly: no proxy of the environment stands between.

use std::time::Duration;

use async_trait::async_trait;
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async_with_config};

use crate::http::{Broken, Heard, Wire};

/// How long opening may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a frame of ours may take to go out.
const SENDING: Duration = Duration::from_secs(10);
/// The largest message that is taken.
const MOST: usize = 16 * 1024 * 1024;

struct WebSocket(WebSocketStream<MaybeTlsStream<TcpStream>>);

pub(crate) async fn dial(url: &str) -> Result<Box<dyn Wire>, Broken> {
    let config = WebSocketConfig::default().max_message_size(Some(MOST)).max_frame_size(Some(MOST));
    match timeout(PATIENCE, connect_async_with_config(url, Some(config), true)).await {
        Ok(Ok((socket, _))) => Ok(Box::new(WebSocket(socket))),
        Ok(Err(error)) => Err(Broken::NotSent(plain(&error))),
        Err(_) => Err(Broken::NotSent("the line did not open in time".into())),
    }
}

/// Some of its messages hold the URL, and with it the ticket.
fn plain(error: &Error) -> String {
    match error {
        Error::Url(_) | Error::HttpFormat(_) => "the vendor's address for the line cannot be used".into(),
        Error::Http(response) => format!("the line was refused with HTTP {}", response.status().as_u16()),
        error => error.to_string(),
    }
}

#[async_trait]
impl Wire for WebSocket {
    async fn next(&mut self, patience: Duration) -> Result<Option<Heard>, Broken> {
        let Ok(next) = timeout(patience, self.0.next()).await else { return Ok(None) };
        match next {
            Some(Ok(Message::Text(text))) => Ok(Some(Heard::Text(text.as_str().to_owned()))),
            Some(Ok(Message::Close(_))) | None => Err(Broken::NoAnswer("the other side closed the line".into())),
            Some(Ok(Message::Ping(_))) => {
                // Its answer lies ready, and goes out with whatever is sent next: now.
                self.0.flush().await.map_err(|error| Broken::NoAnswer(plain(&error)))?;
                Ok(Some(Heard::Alive))
            }
            Some(Ok(_)) => Ok(Some(Heard::Alive)),
            Some(Err(error)) => Err(Broken::NoAnswer(plain(&error))),
        }
    }

    async fn say(&mut self, text: String) -> Result<(), Broken> {
        match timeout(SENDING, self.0.send(Message::text(text))).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Broken::NoAnswer(plain(&error))),
            Err(_) => Err(Broken::NoAnswer("the line takes nothing".into())),
        }
    }
}
