# Sourced: where downloads and builds live, outside the clone, keyed by version or digest.
SUBROSA_CACHE="${SUBROSA_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/subrosa}"
export SUBROSA_CACHE
mkdir -p "$SUBROSA_CACHE"
