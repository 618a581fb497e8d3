#!/bin/sh
# From a clip and a recording to a video, with curl; python3 only reads the JSON.
#
#   sh examples/quickstart.sh "Ada Example" CLIP RECORDING OUT.mp4
#
# By giving the name you attest that this person has agreed to be learned. LIKENESS_SERVER and LIKENESS_API_KEY say
# where the service is and who you are. Files go up in parts, each of which is tried again by itself.
set -eu

SERVER=${LIKENESS_SERVER:-http://127.0.0.1:8000}
NAME=$1 CLIP=$2 RECORDING=$3 OUT=$4
if [ "$OUT" -ef "$CLIP" ] || [ "$OUT" -ef "$RECORDING" ]; then
    echo "the video would overwrite $OUT; give it another name" >&2
    exit 2
fi
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
# The key goes through a file: on the command line everybody on this machine could read it.
printf '%s\n' "${LIKENESS_API_KEY:+header = \"Authorization: Bearer $LIKENESS_API_KEY\"}" >"$WORK/curl"

# call METHOD PATH [JSON]: prints the answer; what the service refuses ends this script with its own words.
call() {
    set -- "$1" "$2" "${3:-}" "$(python3 -c 'import uuid; print(uuid.uuid4())')"
    status=$(curl -sS -K "$WORK/curl" --retry 5 --retry-connrefused -X "$1" "$SERVER$2" \
        -H 'Content-Type: application/json' -H "Idempotency-Key: $4" ${3:+-d "$3"} \
        -o "$WORK/answer" -w '%{http_code}')
    if [ "$status" -ge 400 ]; then
        python3 -c 'import json, sys; p = json.load(sys.stdin); print(p["title"] + ": " + p["detail"] + "\nWhat to do: " + p["remedy"])' \
            <"$WORK/answer" >&2
        exit 1
    fi
    cat "$WORK/answer"
}

# field NAME: one field of the JSON on stdin.
field() {
    python3 -c 'import json, sys
text = sys.stdin.read()
if not text:
    sys.exit(1)  # the call has said why
print(json.loads(text)[sys.argv[1]])' "$1"
}

# sha256 FILE
sha256() {
    python3 -c 'import hashlib, sys
digest = hashlib.sha256()
with open(sys.argv[1], "rb") as stream:
    for block in iter(lambda: stream.read(1 << 20), b""):
        digest.update(block)
print(digest.hexdigest())' "$1"
}

# json NAME VALUE ...: an object of strings, quoted as JSON wants it.
json() {
    python3 -c 'import json, sys; a = sys.argv[1:]; print(json.dumps(dict(zip(a[::2], a[1::2]))))' "$@"
}

# send FILE PURPOSE: announce, put each part to its address, have them put together; prints the upload's id.
send() {
    sum=$(sha256 "$1")
    size=$(wc -c <"$1" | tr -d ' ')
    body=$(python3 -c 'import json, sys; print(json.dumps({"filename": sys.argv[1], "purpose": sys.argv[2], "size": int(sys.argv[3]), "sha256": sys.argv[4]}))' \
        "$(basename "$1")" "$2" "$size" "$sum")
    call POST /v1/uploads "$body" >"$WORK/upload"
    python3 -c 'import json, sys
upload = json.load(sys.stdin)
for part in upload["parts"]:
    if not part["received"]:
        print(part["number"], (part["number"] - 1) * upload["part_size"], part["size"], part["url"])' \
        <"$WORK/upload" >"$WORK/parts"
    while read -r number start bytes address; do
        case $address in /*) address=$SERVER$address ;; esac
        echo "part $number of $(basename "$1")" >&2
        tail -c "+$((start + 1))" "$1" | head -c "$bytes" >"$WORK/part"
        curl -sSf --retry 5 --retry-connrefused -T "$WORK/part" -H 'Content-Type: application/octet-stream' "$address"
    done <"$WORK/parts"
    id=$(field id <"$WORK/upload")
    call POST "/v1/uploads/$id/complete" | field id
}

# wait_for PATH: until the job has ended well; a job that failed says why.
wait_for() {
    while :; do
        call GET "$1" >"$WORK/job"
        case $(field status <"$WORK/job") in
        succeeded) return ;;
        failed | canceled)
            python3 -c 'import json, sys; e = json.load(sys.stdin)["error"] or {"detail": "canceled", "remedy": "start it again"}; print(e["detail"] + "\nWhat to do: " + e["remedy"])' \
                <"$WORK/job" >&2
            exit 1
            ;;
        esac
        python3 -c 'import json, sys; j = json.load(sys.stdin); print(j["object"], j["status"], j["stage"], "%.0f %%" % j["progress"]["percent"])' \
            <"$WORK/job" >&2
        sleep "${POLL_S:-2}"
    done
}

clip=$(send "$CLIP" clip)
body=$(python3 -c 'import json, sys; print(json.dumps({"subject_name": sys.argv[1], "attested": True}))' "$NAME")
consent=$(call POST /v1/consents "$body" | field id)
person=$(call POST /v1/persons "$(json name "$NAME" consent_id "$consent")" | field id)
training=$(call POST "/v1/persons/$person/trainings" "$(json upload_id "$clip" preset preview)" | field id)
wait_for "/v1/trainings/$training"

recording=$(send "$RECORDING" recording)
body="{\"person_id\": \"$person\", \"audio\": {\"upload_id\": \"$recording\"}}"
video=$(call POST /v1/videos "$body" | field id)
wait_for "/v1/videos/$video"
# -C -: a download that broke is continued; -L: the object store may be elsewhere.
sum=$(field sha256 <"$WORK/job")
curl -sSfL -K "$WORK/curl" --retry 5 -C - -o "$OUT.$sum.part" "$SERVER/v1/videos/$video/download"
if [ "$(sha256 "$OUT.$sum.part")" != "$sum" ]; then
    rm "$OUT.$sum.part"
    echo "the video was damaged on the way; run this again" >&2
    exit 1
fi
mv "$OUT.$sum.part" "$OUT"
echo "$OUT"
