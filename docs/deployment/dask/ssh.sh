#!/bin/sh
# A scheduler on the first host and workers on all of them, until Ctrl-C; needs `uv pip install paramiko` here,
# and the checkout at /opt/uda_assets with the same versions on each host.
#   ssh.sh host1 host2 ...
exec dask ssh --ssh-username uda --nworkers 2 --nthreads 1 --memory-limit 2GiB --scheduler-port 8786 \
    --local-directory /var/tmp --remote-python /opt/uda_assets/.venv/bin/python "$@"
