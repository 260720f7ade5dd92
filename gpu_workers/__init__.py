"""The AI workers' place: speech, pose, images, language models.

Nothing runs here yet. They will know the job contracts alone and reach the core over Kafka and HTTP;
their packages are extras (`uv sync --extra stt`), so that exams need none of them.
"""
