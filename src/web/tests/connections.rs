//! Slow, greedy and stubborn readers, and how the server ends.

use super::*;

#[test]
fn requests_sent_at_once_are_answered_in_order() {
    local(async {
        let server = start(50, |_| {}).await;
        let request = "GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n\
                       GET /metrics?name[]=predicted_load HTTP/1.1\r\nhost: x\r\n\r\n\
                       GET /nothing HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
        let text = String::from_utf8(send(server.addr, request.as_bytes()).await).unwrap();
        let places: Vec<usize> = ["forethought is healthy", "predicted_load{", "HTTP/1.1 404"]
            .iter()
            .map(|part| text.find(part).unwrap())
            .collect();
        assert!(places.is_sorted(), "{text}");
        assert_eq!(text.matches("HTTP/1.1 ").count(), 3);
    });
}

#[test]
fn slow_readers_are_closed() {
    local(async {
        let server = start(1, |state| {
            state.settings.limits.first_request = Duration::from_millis(150);
        })
        .await;
        let starts: [&[u8]; 5] = [
            b"",
            b"P",
            b"GET /metrics HT",
            b"GET /metrics HTTP/1.1\r\nhost: x\r\nx: ",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ];
        for start in starts {
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            stream.write_all(start).await.unwrap();
            let mut rest = Vec::new();
            // Closed or reset, but ended; a frame of settings may come before.
            drop(stream.read_to_end(&mut rest).await);
            assert!(!rest.starts_with(b"HTTP/1.1 200"), "{start:?}");
        }
        let text = get(server.addr, "/metrics").await.text();
        let refused = "forethought_web_refusals_total{cause=\"slow_request\"} 5\n";
        assert!(text.contains(refused), "{text}");
    });
}

#[test]
fn an_idle_connection_is_closed() {
    local(async {
        let server = start(1, |state| {
            state.settings.limits.idle = Duration::from_millis(150);
        })
        .await;
        let request = b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n";
        assert_eq!(parse(&send(server.addr, request).await).status, 200);
    });
}

#[test]
fn heads_and_bodies_have_limits() {
    local(async {
        let server = start(1, |_| {}).await;
        let long = format!("x: {}\r\n", "y".repeat(200_000));
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        let request = format!("GET / HTTP/1.1\r\nhost: x\r\n{long}\r\n");
        // The server may close before all is written.
        drop(stream.write_all(request.as_bytes()).await);
        let mut start = [0; 12];
        stream.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 431");
        let many: String = (0..200).map(|number| format!("x{number}: y\r\n")).collect();
        assert_eq!(ask(server.addr, "GET", "/", &many).await.status, 431);
        let body = "content-length: 65537\r\n";
        assert_eq!(
            ask(server.addr, "POST", "/-/reload", body).await.status,
            413
        );
        assert_eq!(get(server.addr, "/-/healthy").await.status, 200);
    });
}

#[test]
fn scrapes_over_the_limit_are_told_to_come_again() {
    local(async {
        let server = start(50_000, |state| {
            state.settings.limits.requests = 1;
            state.settings.limits.stall = Duration::from_millis(400);
        })
        .await;
        // One that asks for megabytes and reads nothing of them.
        let mut greedy = TcpStream::connect(server.addr).await.unwrap();
        let request = b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n";
        greedy.write_all(request).await.unwrap();
        let mut first = [0; 15];
        greedy.read_exact(&mut first).await.unwrap();
        assert_eq!(&first, b"HTTP/1.1 200 OK");
        let answer = get(server.addr, "/metrics").await;
        assert_eq!((answer.status, answer.header("retry-after")), (503, "1"));
        assert!(
            answer.text().contains("1 scrapes are being answered"),
            "{answer:?}"
        );
        assert_eq!(get(server.addr, "/-/healthy").await.status, 200);
        // It is given up on, and there is room again.
        let room = async {
            while get(server.addr, "/metrics?name[]=none").await.status == 503 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), room)
            .await
            .unwrap();
        drop(greedy);
    });
}

#[test]
fn connections_over_the_limit_are_refused() {
    local(async {
        let server = start(1, |state| state.settings.limits.connections = 1).await;
        let mut first = TcpStream::connect(server.addr).await.unwrap();
        first
            .write_all(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let mut start = [0; 15];
        first.read_exact(&mut start).await.unwrap();
        let mut second = TcpStream::connect(server.addr).await.unwrap();
        let mut answer = Vec::new();
        second.read_to_end(&mut answer).await.unwrap();
        let answer = parse(&answer);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (503, "too many open connections\n")
        );
        assert_eq!(
            answer.header("content-length"),
            answer.body.len().to_string()
        );
        drop(first);
        loop {
            let mut stream = TcpStream::connect(server.addr).await.unwrap();
            // Refused before it is written, perhaps.
            drop(
                stream
                    .write_all(b"GET /-/healthy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
                    .await,
            );
            let mut answer = Vec::new();
            drop(stream.read_to_end(&mut answer).await);
            if answer.starts_with(b"HTTP/1.1 200") {
                break;
            }
        }
    });
}

#[test]
fn reload_and_quit_reach_the_process() {
    local(async {
        let mut server = start(1, |_| {}).await;
        let addr = server.addr;
        let reload = |method: &'static str| ask(addr, method, "/-/reload", "content-length: 0\r\n");
        let answers = [
            ("POST", Ok(()), 200, "is reloaded"),
            ("PUT", Err("line 3: no"), 500, "still in force: line 3: no"),
        ];
        for (method, result, status, part) in answers {
            let asking = tokio::task::spawn_local(reload(method));
            let Some(Lifecycle::Reload(answer)) = server.commands.recv().await else {
                panic!("no reload");
            };
            answer.send(result.map_err(str::to_string)).unwrap();
            let answer = asking.await.unwrap();
            assert_eq!(answer.status, status);
            assert!(answer.text().contains(part), "{answer:?}");
        }
        let asking = tokio::task::spawn_local(ask(addr, "POST", "/-/quit", ""));
        assert!(matches!(
            server.commands.recv().await,
            Some(Lifecycle::Quit)
        ));
        assert_eq!(asking.await.unwrap().status, 200);
        drop(server.commands);
        assert_eq!(reload("POST").await.status, 503);
    });
}

#[test]
fn a_request_under_way_is_answered_when_the_server_stops() {
    local(async {
        let mut server = start(1, |_| {}).await;
        let mut idle = TcpStream::connect(server.addr).await.unwrap();
        let asking = tokio::task::spawn_local(ask(server.addr, "POST", "/-/reload", ""));
        let Some(Lifecycle::Reload(answer)) = server.commands.recv().await else {
            panic!("no reload");
        };
        server.shutdown.cancel();
        let mut nothing = Vec::new();
        idle.read_to_end(&mut nothing).await.unwrap();
        assert!(!server.task.is_finished());
        assert!(TcpStream::connect(server.addr).await.is_err(), "nobody new");
        answer.send(Ok(())).unwrap();
        assert_eq!(asking.await.unwrap().status, 200);
        server.task.await.unwrap();
    });
}

#[test]
fn a_request_that_never_ends_does_not_keep_the_server() {
    local(async {
        let mut server = start(1, |state| {
            state.settings.limits.shutdown = Duration::from_millis(100);
        })
        .await;
        let mut stream = TcpStream::connect(server.addr).await.unwrap();
        stream
            .write_all(b"POST /-/reload HTTP/1.1\r\nhost: x\r\n\r\n")
            .await
            .unwrap();
        let kept = server.commands.recv().await;
        assert!(kept.is_some());
        server.shutdown.cancel();
        server.task.await.unwrap();
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer).await);
        assert_eq!(answer, b"");
    });
}

#[test]
fn http_2_is_served_on_the_same_port() {
    use http_body_util::{BodyExt, Empty};
    use hyper::{Request, body::Bytes, client::conn::http2};
    use hyper_util::rt::{TokioExecutor, TokioIo};
    local(async {
        let server = start(20_000, |_| {}).await;
        let stream = TcpStream::connect(server.addr).await.unwrap();
        let (mut sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::task::spawn_local(connection);
        for (path, lines) in [
            ("/metrics?name[]=predicted_load", 20_002),
            ("/-/healthy", 1),
        ] {
            let uri = format!("http://x{path}");
            let request = Request::get(uri).body(Empty::<Bytes>::new()).unwrap();
            let answer = sender.send_request(request).await.unwrap();
            assert_eq!(answer.status(), 200);
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(body.iter().filter(|byte| **byte == b'\n').count(), lines);
        }
        // A connection that stays open must not keep the server from stopping.
        server.shutdown.cancel();
        server.task.await.unwrap();
    });
}
