# The processes of bench/run: how each proxy is configured, started and stopped.
# Sourced; it wants $dir, a directory of its own, and NGINX, HAPROXY and SLUICE.
# Every proxy takes plain connections on its port and TLS on that plus 10.
# `limited` is sluice with every limit set so wide that none is reached, and
# with the access log on.

declare -A pids=() ports=([backend]=9700 [nginx]=9701 [haproxy]=9702 [sluice]=9703 [limited]=9704)
realtime=() # what goes before the command of each process

url() { # scheme name
	local port=${ports[$2]}
	[[ $1 != wss ]] || port=$((port + 10))
	echo "$1://127.0.0.1:$port/"
}

write_configs() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=127.0.0.1 \
		-addext subjectAltName=IP:127.0.0.1 -keyout "$dir/key.pem" -out "$dir/cert.pem" 2>/dev/null
	cat "$dir/cert.pem" "$dir/key.pem" >"$dir/both.pem"
	write_nginx >"$dir/nginx.conf"
	write_haproxy >"$dir/haproxy.cfg"
	write_sluice sluice false >"$dir/sluice.yaml"
	{
		write_sluice limited true
		write_limits
	} >"$dir/limited.yaml"
}

write_nginx() {
	cat <<-CONF
		worker_processes 1; daemon off; pid $dir/nginx.pid; error_log $dir/nginx.log;
		events { worker_connections 19900; }
		http {
			access_log off; keepalive_requests 1000000000;
			client_body_temp_path $dir/body; proxy_temp_path $dir/proxy; fastcgi_temp_path $dir/f; uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
			map \$http_upgrade \$connection_upgrade { default upgrade; '' ''; }
			upstream backend { server 127.0.0.1:9700; keepalive 256; keepalive_requests 1000000000; }
			server {
				listen 127.0.0.1:9701 backlog=4096;
				listen 127.0.0.1:9711 backlog=4096 ssl;
				ssl_certificate $dir/cert.pem; ssl_certificate_key $dir/key.pem; ssl_protocols TLSv1.3;
				location / {
					proxy_pass http://backend; proxy_http_version 1.1; proxy_read_timeout 1h;
					proxy_buffer_size 16k; proxy_buffers 8 16k;
					proxy_set_header Host \$host; proxy_set_header X-Forwarded-For \$remote_addr;
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
		  option forwardfor
		  http-reuse always
		frontend front
		  bind 127.0.0.1:9702
		  bind 127.0.0.1:9712 ssl crt $dir/both.pem ssl-min-ver TLSv1.3
		  default_backend back
		backend back
		  server one 127.0.0.1:9700
	CONF
}

write_sluice() { # name access-log
	local port=${ports[$1]}
	cat <<-CONF
		listeners:
		  - { address: "127.0.0.1:$port" }
		  - { address: "127.0.0.1:$((port + 10))", tls: true }
		tls: { certificates: [{ cert: $dir/cert.pem, key: $dir/key.pem }] }
		state_dir: $dir/state
		log: { access: $2 }
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
# until they answer: the backend on core 0, with the client, the proxies on 1.
up() { # name...
	local name
	for name in backend "$@"; do
		[[ -z ${pids[$name]-} ]] || continue
		case $name in
		backend) start 0 "$name" bench/wsbench-server -listen "127.0.0.1:${ports[backend]}" ;;
		nginx) start 1 "$name" "$NGINX" -e "$dir/nginx.log" -c "$dir/nginx.conf" ;;
		haproxy) start 1 "$name" "$HAPROXY" -db -f "$dir/haproxy.cfg" ;;
		sluice | limited) start 1 "$name" "$SLUICE" run --config "$dir/$name.yaml" ;;
		esac || return
	done
}

start() { # core name command...
	local core=$1 name=$2 try
	shift 2
	taskset -c "$core" "${realtime[@]}" "$@" >"$dir/$name.out" 2>&1 &
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
