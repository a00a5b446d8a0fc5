"""A web service: a picture in, the faces with their emotions out.

    pip install fastapi uvicorn python-multipart
    uvicorn --app-dir examples fastapi_service:app --port 8000
    curl -F picture=@photo.jpg http://127.0.0.1:8000/faces

`MODEL` in the environment names a packaged model, a run folder or a file. Keep the service on this
machine, or behind a server that knows who calls it. Pictures are not stored.
"""

import os

import fastapi
import numpy as np
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

import insideout_tf

MODEL = os.environ.get("MODEL", "small")
MAX_BYTES = 10_000_000  # of a request


try:  # the first request need not wait, and a wrong name stops the start
    insideout_tf.predict_emotions(np.zeros((48, 48), np.uint8), MODEL)
except insideout_tf.UserError as error:
    raise SystemExit(f"fastapi_service.py: {error}") from None


class LimitBody:
    """Refuses a request with more than `MAX_BYTES`, whatever its header says, before it is parsed."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        body, has_more = bytearray(), True
        while has_more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return None
            body += message.get("body", b"")
            has_more = message.get("more_body", False)
            if len(body) > MAX_BYTES:
                text = f"picture: expected at most {MAX_BYTES:,} bytes. Shrink it. Received: more"
                answer = JSONResponse({"detail": text}, 413, {"Connection": "close"})
                return await answer(scope, receive, send)
        messages = [{"type": "http.request", "body": bytes(body)}]

        async def replay():
            return messages.pop() if messages else await receive()

        await self.app(scope, replay, send)


app = fastapi.FastAPI(title="insideout_tf")
app.add_middleware(LimitBody)


@app.exception_handler(RequestValidationError)
async def refuse(_, error):
    first = error.errors()[0]
    return JSONResponse({"detail": f"{first['loc'][-1]}: {first['msg']}"}, 422)


@app.get("/health")
def health():
    return {"model": MODEL, "version": insideout_tf.__version__}


@app.post("/faces")
def faces(picture: fastapi.UploadFile):
    """Returns the faces of one picture: `box`, `emotion` and `probabilities` of each."""
    try:
        return {"faces": insideout_tf.detect_emotions(picture.file, MODEL)}
    except insideout_tf.UserError as error:
        raise fastapi.HTTPException(422, str(error)) from None
