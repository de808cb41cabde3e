# The processes of bench/run: how each proxy is configured, started and stopped.
# Sourced; it wants $dir, a directory of its own, and NGINX, HAPROXY, CADDY and
# SLUICE. Every proxy takes plain connections on its port and TLS on that plus
# 10, and sends the backend the same header fields as sluice. `logged` is sluice
# with the access log on, `limited` has it on too, and every limit set so wide
# that none is reached, `scraped` has its metrics read each second. `nginx2` and
# `sluice2` have two cores.

declare -A pids=() ports=(
	[backend]=9700 [nginx]=9701 [haproxy]=9702 [sluice]=9703 [limited]=9704
	[caddy]=9705 [logged]=9706 [nginx2]=9707 [sluice2]=9708 [scraped]=9709
)
metrics=9729 # port of scraped's metrics
realtime=() # what goes before the command of each process

url() { # scheme name
	local port=${ports[$2]}
	[[ $1 != wss && $1 != https ]] || port=$((port + 10))
	echo "$1://127.0.0.1:$port/"
}

write_configs() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
		-addext subjectAltName=IP:127.0.0.1 -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
	cat "$dir/cert.pem" "$dir/key.pem" >"$dir/both.pem"
	write_nginx nginx 1 >"$dir/nginx.conf"
	write_nginx nginx2 2 >"$dir/nginx2.conf"
	write_haproxy >"$dir/haproxy.cfg"
	write_caddy >"$dir/caddy.json"
	write_sluice sluice false >"$dir/sluice.yaml"
	write_sluice sluice2 false >"$dir/sluice2.yaml"
	write_sluice logged true >"$dir/logged.yaml"
	{
		write_sluice scraped false
		echo "admin: { metrics: 127.0.0.1:$metrics }"
	} >"$dir/scraped.yaml"
	{
		write_sluice limited true
		write_limits
	} >"$dir/limited.yaml"
}

# Bodies stay in memory: for the files that nginx would put them in, its workers
# would have to be let into $dir.
write_nginx() { # name workers
	local port=${ports[$1]}
	cat <<-CONF
		worker_processes $2; daemon off; pid $dir/$1.pid; error_log $dir/nginx.log;
		events { worker_connections 19900; }
		http {
			access_log off; keepalive_requests 1000000000; keepalive_timeout 1h;
			client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
			map \$http_upgrade \$connection_upgrade { default upgrade; '' ''; }
			upstream backend { server 127.0.0.1:9700; keepalive 256; keepalive_requests 1000000000; }
			server {
				listen 127.0.0.1:$port backlog=4096;
				listen 127.0.0.1:$((port + 10)) backlog=4096 ssl;
				ssl_certificate $dir/cert.pem; ssl_certificate_key $dir/key.pem; ssl_protocols TLSv1.3;
				location / {
					proxy_pass http://backend; proxy_http_version 1.1; proxy_read_timeout 1h;
					proxy_buffer_size 16k; proxy_buffers 8 16k; proxy_max_temp_file_size 0; client_body_buffer_size 32k;
					proxy_set_header Host \$http_host; proxy_set_header X-Request-Id \$request_id;
					proxy_set_header X-Forwarded-For \$remote_addr; proxy_set_header X-Forwarded-Host \$http_host;
					proxy_set_header X-Forwarded-Proto \$scheme; proxy_set_header X-Forwarded-Port \$server_port;
					proxy_set_header X-Real-IP \$remote_addr;
					proxy_set_header Forwarded 'for=\$remote_addr;proto=\$scheme;host="\$http_host"';
					proxy_set_header Upgrade \$http_upgrade; proxy_set_header Connection \$connection_upgrade;
				}
			}
		}
	CONF
}

write_haproxy() {
	cat <<-CONF
		global
		  nbthread 1
		  maxconn 8500
		  maxpipes 1000
		defaults
		  mode http
		  timeout connect 5s
		  timeout client 1h
		  timeout server 1h
		  timeout tunnel 1h
		  option splice-auto
		  http-reuse always
		frontend front
		  bind 127.0.0.1:${ports[haproxy]}
		  bind 127.0.0.1:$((ports[haproxy] + 10)) ssl crt $dir/both.pem ssl-min-ver TLSv1.3
		  http-request set-header X-Request-Id %[uuid]
		  http-request set-header X-Forwarded-For %[src]
		  http-request set-header X-Forwarded-Host %[req.hdr(host)]
		  http-request set-header X-Forwarded-Proto %[ssl_fc,iif(https,http)]
		  http-request set-header X-Forwarded-Port %[dst_port]
		  http-request set-header X-Real-IP %[src]
		  http-request set-header Forwarded for=%[src];proto=%[ssl_fc,iif(https,http)];host=\"%[req.hdr(host)]\"
		  default_backend back
		backend back
		  server one 127.0.0.1:9700
	CONF
}

# X-Forwarded-For, -Host and -Proto (and Via) are sent without being asked for.
write_caddy() {
	local port=${ports[caddy]} routes
	routes='"protocols": ["h1"], "automatic_https": { "disable": true }, "routes": [{ "handle": [{
		"handler": "reverse_proxy",
		"upstreams": [{ "dial": "127.0.0.1:9700" }],
		"transport": { "protocol": "http", "keep_alive": { "max_idle_conns_per_host": 256 }, "compression": false },
		"headers": { "request": { "set": {
			"X-Request-Id": ["{http.request.uuid}"],
			"X-Forwarded-Port": ["{http.request.local.port}"],
			"X-Real-IP": ["{http.request.remote.host}"],
			"Forwarded": ["for={http.request.remote.host};proto={http.request.scheme};host=\"{http.request.hostport}\""]
		} } }
	}] }]'
	cat <<-CONF
		{
			"admin": { "disabled": true, "config": { "persist": false } },
			"logging": { "logs": { "default": { "level": "ERROR" } } },
			"storage": { "module": "file_system", "root": "$dir/caddy" },
			"apps": {
				"http": { "servers": {
					"plain": { "listen": ["127.0.0.1:$port"], $routes },
					"tls": { "listen": ["127.0.0.1:$((port + 10))"], "tls_connection_policies": [{ "protocol_min": "tls1.3" }], $routes }
				} },
				"tls": { "certificates": { "load_files": [{ "certificate": "$dir/cert.pem", "key": "$dir/key.pem" }] } }
			}
		}
	CONF
}

write_sluice() { # name access-log
	local port=${ports[$1]}
	cat <<-CONF
		listeners:
		  - { address: "127.0.0.1:$port", timeouts: { idle: 1h } }
		  - { address: "127.0.0.1:$((port + 10))", tls: true, timeouts: { idle: 1h } }
		tls: { certificates: [{ cert: $dir/cert.pem, key: $dir/key.pem }] }
		state_dir: $dir/state
		log: { access: $2 }
		http: { engine: loops }
		routes:
		  - path: /*
		    backend: 127.0.0.1:9700
	CONF
}

# write_limits continues what write_sluice has begun.
write_limits() {
	local traffic="frame_size: 1GiB, message_size: 1GiB, message_rate: 1000000000/s, message_burst: 1000000000, byte_rate: 1TiB/s, byte_burst: 1TiB, on_excess: delay"
	cat <<-CONF
		    websocket:
		      idle_timeout: 1h
		      max_lifetime: 1d
		      ping_interval: 1h
		      pong_timeout: 1h
		      keepalive: 1h
		      user_timeout: 1h
		      limits:
		        { sessions: 100000, sessions_per_ip: 100000, handshake_rate: 1000000/s, handshake_burst: 1000000,
		          $traffic,
		          backend: { $traffic } }
		max_sessions: 100000
	CONF
}

# up starts what is not running of the backend and the named proxies, and waits
# until they answer: the backend on core 0, with the client, the proxies on 1,
# those with two cores on both.
up() { # name...
	local name cores
	for name in backend "$@"; do
		[[ -z ${pids[$name]-} ]] || continue
		[[ $name == *2 ]] && cores=0,1 || cores=1
		case $name in
		backend) start 0 "$name" bench/wsbench-server -listen "127.0.0.1:${ports[backend]}" ;;
		nginx | nginx2) start $cores "$name" "$NGINX" -e "$dir/nginx.log" -c "$dir/$name.conf" ;;
		haproxy) start $cores "$name" "$HAPROXY" -db -f "$dir/haproxy.cfg" ;;
		caddy) start $cores "$name" "$CADDY" run --config "$dir/caddy.json" ;;
		*) start $cores "$name" "$SLUICE" run --config "$dir/$name.yaml" ;;
		esac || return
		[[ $name != scraped ]] || scrape
	done
}

# scrape reads the metrics of scraped each second, from core 0.
scrape() {
	taskset -c 0 bash -c "
		while sleep 1; do
			exec 3<>/dev/tcp/127.0.0.1/$metrics
			printf 'GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' >&3
			cat <&3 >/dev/null
		done" &
	pids[scraper]=$!
}

start() { # cores name command...
	local cores=$1 name=$2 try
	shift 2
	taskset -c "$cores" "${realtime[@]}" "$@" >"$dir/$name.out" 2>&1 &
	pids[$name]=$!
	for ((try = 0; try < 200; try++)); do
		kill -0 "${pids[$name]}" 2>/dev/null || break
		! (exec 3<>"/dev/tcp/127.0.0.1/${ports[$name]}") 2>/dev/null || return 0
		sleep 0.05
	done
	echo "bench/run: $name does not answer on port ${ports[$name]}:" >&2
	tail -n 20 "$dir/$name.out" >&2
	down "$name"
	return 1
}

# down stops the named processes, or all of them.
down() { # [name]...
	local name
	(($#)) || set -- "${!pids[@]}"
	for name; do
		[[ -n ${pids[$name]-} ]] || continue
		kill "${pids[$name]}" 2>/dev/null || true
		wait "${pids[$name]}" 2>/dev/null || true
		unset "pids[$name]"
	done
}

# realtime_on has everything run ahead of other work on the machine, where that
# is permitted; realtime_off ends that. Both stop what runs.
realtime_on() {
	down
	chrt -r 1 true 2>/dev/null && realtime=(chrt -r 1) ||
		echo "bench/run: chrt -r is not permitted: latency will be that of a busy machine" >&2
}

realtime_off() {
	((${#realtime[@]})) || return 0
	down
	realtime=()
}
